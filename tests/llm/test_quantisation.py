"""Four bits: a copy made once, weights that are quantised already, and the repacking that loses gradients."""

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from bitsandbytes.nn import Linear4bit
from click.testing import CliRunner

from fla_llm.cli import fla
from fla_llm.core.errors import ModelError, RunError
from fla_llm.finetune.config import TuneConfig
from fla_llm.finetune.model import StageTwoModel
from fla_llm.finetune.store import load_stage_two
from fla_llm.finetune.train import tune
from fla_llm.llm.load import load_llm
from fla_llm.llm.quantised_copy import quantise_llm

CPU = torch.device("cpu")
Folder = Callable[[str], Path]


@pytest.mark.parametrize("shape", ["llama", "qwen3", "mbart", "t5"])
def test_repacking_is_off_in_every_layer(
    shape: str, llm_folder: Folder, monkeypatch: pytest.MonkeyPatch
) -> None:
    # What bitsandbytes asks on every CPU: here it always hears that repacking is possible. A CPU without
    # AVX512-BF16 cannot run the repacked operation, so the gradients of test_model.py would be lost only on
    # one that has it; this test sees the switch on either.
    monkeypatch.setattr("bitsandbytes.nn.modules.has_avx512bf16", lambda: True)
    model = load_llm(str(llm_folder(shape)), quantise="nf4", device=CPU, dtype=torch.float32).model
    layers = [module for module in model.modules() if isinstance(module, Linear4bit)]
    assert layers
    assert not any(layer.support_avx512bf16_for_cpu for layer in layers)
    assert not any(getattr(layer.weight.quant_state, "packing_format_for_cpu", False) for layer in layers)


@pytest.mark.parametrize("shape", ["llama", "mbart", "t5"])
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_a_copy_is_the_original_quantised_bit_for_bit(
    shape: str, dtype: torch.dtype, llm_folder: Folder, tmp_path: Path,
    other_modes: Callable[[Path], dict[str, str]],
) -> None:  # fmt: skip
    precision = "fp32" if dtype == torch.float32 else "bf16"
    quantise_llm(str(llm_folder(shape)), tmp_path / "copy", precision=precision, device="cpu")
    assert other_modes(tmp_path / "copy") == {}
    settings = {"quantise": "nf4", "device": CPU, "dtype": dtype}
    original = load_llm(str(llm_folder(shape)), **settings).model.state_dict()
    copy = load_llm(str(tmp_path / "copy"), **settings).model.state_dict()
    assert original.keys() == copy.keys()
    assert all(original[name].dtype == copy[name].dtype for name in original)
    assert all(torch.equal(original[name], copy[name]) for name in original)


@pytest.mark.parametrize("shape", ["llama", "mbart"])
def test_tuning_a_copy_is_tuning_the_original_bit_for_bit(
    shape: str, llm_folder: Folder, config: TuneConfig, write_cache: Callable[..., Path], tmp_path: Path
) -> None:
    cache, copy = write_cache(tmp_path / "cache", splits=("train",)), tmp_path / "copy"
    last = replace(config, training=replace(config.training, epochs=1, select="last"))
    arguments = ["--llm", str(llm_folder(shape)), "--out", str(copy), "--precision", "fp32", "--json"]
    made = CliRunner().invoke(fla, ["quantise", *arguments, "--device", "cpu"], catch_exceptions=False)
    assert json.loads(made.stdout)["llm"] == str(llm_folder(shape).resolve())
    for name, llm in (("original", llm_folder(shape)), ("copied", copy)):
        tune([cache], llm=str(llm), config=last, out=tmp_path / name, device="cpu")
    for part in ("projector.safetensors", "lora/adapter_model.safetensors"):
        assert (tmp_path / "original" / part).read_bytes() == (tmp_path / "copied" / part).read_bytes()
    described = json.loads((tmp_path / "copied/run.json").read_text())
    assert described["llm_quantised_from"]["llm"] == str(llm_folder(shape).resolve())
    assert json.loads((tmp_path / "original/run.json").read_text())["llm_quantised_from"] is None
    load_stage_two(tmp_path / "copied", device=CPU)


def test_what_is_quantised_already_is_not_quantised_again(llm_folder: Folder, tmp_path: Path) -> None:
    copy = tmp_path / "copy"
    quantise_llm(str(llm_folder("llama")), copy, precision="fp32", device="cpu")
    with pytest.raises(ModelError, match="copy is in NF4 already"):
        quantise_llm(str(copy), tmp_path / "again", device="cpu")
    with pytest.raises(RunError, match="is not empty"):
        quantise_llm(str(llm_folder("llama")), copy, device="cpu")
    with pytest.raises(ModelError, match="holds weights in NF4, so 'quantise' must be nf4, but is none"):
        load_llm(str(copy), quantise="none", device=CPU, dtype=torch.float32)
    content = json.loads((copy / "config.json").read_text())
    content["quantization_config"] = {"quant_method": "gptq", "bits": 4}
    (copy / "config.json").write_text(json.dumps(content))
    with pytest.raises(ModelError, match="must be unquantised, or in NF4, but is quantised already: gptq"):
        load_llm(str(copy), quantise="nf4", device=CPU, dtype=torch.float32)


def test_a_copy_computes_in_the_format_asked_for(llm_folder: Folder, tmp_path: Path) -> None:
    quantise_llm(str(llm_folder("llama")), tmp_path / "copy", precision="bf16", device="cpu")
    model = load_llm(str(tmp_path / "copy"), quantise="nf4", device=CPU, dtype=torch.float32).model
    formats = {layer.compute_dtype for layer in model.modules() if isinstance(layer, Linear4bit)}
    assert formats == {torch.float32}
    assert model.get_input_embeddings().weight.dtype == torch.float32


def test_double_quantisation_is_on(build: Callable[..., StageTwoModel]) -> None:
    layers = [module for module in build("llama").modules() if isinstance(module, Linear4bit)]
    assert all(layer.weight.quant_state.nested for layer in layers)
    assert {layer.weight.quant_type for layer in layers} == {"nf4"}
