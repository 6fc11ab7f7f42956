"""Weights to the byte, from configs alone."""

import warnings
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from bitsandbytes.nn import Linear8bitLt

from fla_llm.core.errors import ModelError
from fla_llm.finetune.config import TuneConfig
from fla_llm.llm.config import LoraSettings
from fla_llm.llm.load import load_llm
from fla_llm.llm.trim import trim
from fla_llm.planning.model_shapes import config_from, read_config
from fla_llm.planning.weights import measure_weights, moment_bytes
from fla_llm.training.optimisers import make_optimiser

CPU = torch.device("cpu")
T5 = {
    "d_model": 2048, "d_ff": 5120, "d_kv": 64, "num_layers": 24, "num_heads": 32,
    "feed_forward_proj": "gated-gelu", "tie_word_embeddings": False,
}  # fmt: skip
LLAMA = {"num_attention_heads": 32, "num_key_value_heads": 8, "hidden_size": 4096, "num_hidden_layers": 32}
PUBLISHED = {
    "Llama-3.1-8B": (5.3, {"model_type": "llama", "vocab_size": 128256, "intermediate_size": 14336, **LLAMA}),
    "Qwen3-8B": (5.7, {
        "model_type": "qwen3", "vocab_size": 151936, "intermediate_size": 12288, "head_dim": 128,
        "tie_word_embeddings": False, **LLAMA, "num_hidden_layers": 36,
    }),
    "Qwen3-4B": (2.5, {
        "model_type": "qwen3", "vocab_size": 151936, "intermediate_size": 9728, "head_dim": 128,
        "tie_word_embeddings": True, **LLAMA, "hidden_size": 2560, "num_hidden_layers": 36,
    }),
    "XGLM-7.5B": (5.1, {
        "model_type": "xglm", "vocab_size": 256008, "d_model": 4096, "ffn_dim": 16384, "num_layers": 32,
        "attention_heads": 32,
    }),
    "Gemma-2-9B": (5.7, {
        "model_type": "gemma2", "vocab_size": 256000, "hidden_size": 3584, "intermediate_size": 14336,
        "num_hidden_layers": 42, "num_attention_heads": 16, "num_key_value_heads": 8, "head_dim": 256,
    }),
    "mBART-large-50": (0.65, {
        "model_type": "mbart", "vocab_size": 250054, "d_model": 1024, "encoder_ffn_dim": 4096,
        "decoder_ffn_dim": 4096, "encoder_layers": 12, "decoder_layers": 12,
    }),
    "mT5-xl": (3.9, {"model_type": "mt5", "vocab_size": 250112, **T5}),
    "flan-t5-xl": (2.3, {"model_type": "t5", "vocab_size": 32128, **T5}),
}  # fmt: skip


@pytest.mark.parametrize("name", PUBLISHED)
def test_weights_agree_with_figures_from_the_published_configs(name: str) -> None:
    gib, entries = PUBLISHED[name]
    config = config_from(entries, name=name)
    weights = measure_weights(
        config, quantise="nf4", dtype=torch.bfloat16, lora=LoraSettings(targets=_one(name))
    )
    assert weights.total / 2**30 == pytest.approx(gib, abs=0.1)


def _one(name: str) -> str:
    """Adapters are not asked about here, and peft takes its time over hundreds of them."""
    return "q" if "t5" in name.lower() else "q_proj"


@pytest.mark.parametrize("shape", ["llama", "qwen3", "gemma2", "mbart", "t5", "mt5"])
@pytest.mark.parametrize("quantise", ["nf4", "int8", "none"])
def test_weights_are_those_of_the_loaded_model(
    shape: str, quantise: str, llm_folder: Callable[[str], Path]
) -> None:
    llm = str(llm_folder(shape))
    model = load_llm(llm, quantise=quantise, device=CPU, dtype=torch.bfloat16).model
    weights = measure_weights(
        read_config(llm), quantise=quantise, dtype=torch.bfloat16, lora=LoraSettings(rank=4)
    )
    assert weights.total == pytest.approx(held(model), rel=0.01)


def held(model: Any) -> int:
    """Return the bytes of a loaded model, with the scales of what is quantised."""
    tensors = [*model.parameters(), *model.buffers()]
    for parameter in model.parameters():
        state = getattr(parameter, "quant_state", None)
        if state is not None:
            tensors += [state.absmax, state.code, state.offset, state.state2.absmax, state.state2.code]
    for module in model.modules():
        if isinstance(module, Linear8bitLt):
            tensors.append(module.weight.SCB if module.state.SCB is None else module.state.SCB)
    return sum(tensor.nbytes for tensor in tensors)


@pytest.mark.parametrize("shape", ["llama", "mbart", "t5"])
def test_a_trimmed_vocabulary_takes_its_rows_and_loading_takes_all(
    shape: str, llm_folder: Callable[[str], Path]
) -> None:
    llm = str(llm_folder(shape))
    loaded = load_llm(llm, quantise="nf4", device=CPU, dtype=torch.bfloat16)
    whole = held(loaded.model)
    settings = {"quantise": "nf4", "dtype": torch.bfloat16, "lora": LoraSettings(rank=4)}
    weights = measure_weights(read_config(llm), **settings, rows=7)
    assert weights.total == pytest.approx(held(trim(loaded, range(7)).model), rel=0.01)
    assert weights.whole == pytest.approx(whole, rel=0.01)
    assert weights.rows == 7


@pytest.mark.parametrize("optimiser", ["adamw", "sgd", "adamw8bit", "paged_adamw8bit"])
def test_moments_are_those_that_the_optimiser_keeps(optimiser: Any, config: TuneConfig) -> None:
    parameters = [torch.nn.Parameter(torch.ones(rows, 16)) for rows in (8, 300, 1001)]
    settings = replace(config.training, optimiser=optimiser)
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", "Paged optimizers are not supported on CPU")
        made = make_optimiser([{"name": "all", "params": parameters}], settings)
        for parameter in parameters:
            parameter.grad = torch.ones_like(parameter)
        made.step()
    tables = ("step", "qmap1", "qmap2")  # of a few bytes, or one for all
    kept = sum(
        value.nbytes
        for state in made.state.values()
        for name, value in state.items()
        if isinstance(value, torch.Tensor) and name not in tables
    )
    assert sum(moment_bytes([p.numel() for p in parameters], optimiser=optimiser)) == kept


def test_only_large_moments_are_paged() -> None:
    staying, paged = moment_bytes([99_999, 100_000], optimiser="paged_adamw8bit")
    assert paged == 2 * 100_000
    assert staying == 2 * 99_999 + 2 * 4 * 2 * 391  # and a scale for each 256 numbers of both


def test_a_bare_config_is_enough(llm_folder: Callable[[str], Path], tmp_path: Path) -> None:
    folder = llm_folder("llama")
    bare = tmp_path / "shape.json"
    bare.write_bytes((folder / "config.json").read_bytes())
    assert read_config(str(bare)).to_dict() == read_config(str(folder)).to_dict()


def test_what_has_no_shape_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)
    with pytest.raises(ModelError, match="someone/some-model is not on this disk"):
        read_config("someone/some-model")
    with pytest.raises(ModelError, match="x: model_type must be an architecture.*but is 'lama'"):
        config_from({"model_type": "lama"}, name="x")
    with pytest.raises(ModelError, match="x must be a language model of text, but is a vit"):
        config_from({"model_type": "vit"}, name="x")


def test_a_file_that_does_not_exist_is_no_id(monkeypatch: pytest.MonkeyPatch) -> None:
    def asked(*_: object, **__: object) -> None:
        raise AssertionError("the hub was asked")

    monkeypatch.setattr("fla_llm.planning.model_shapes.load_pretrained", asked)
    with pytest.raises(ModelError, match="--llm nope.json: there is no such directory"):
        read_config("nope.json")
