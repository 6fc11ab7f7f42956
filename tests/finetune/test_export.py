"""An exported run works without the run; merged, it computes what base and adapters compute."""

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from transformers import AutoConfig

from fla_llm.core.errors import ModelError, RunError
from fla_llm.finetune.collate import collate
from fla_llm.finetune.config import LoraSettings, TuneConfig
from fla_llm.finetune.export import export_run
from fla_llm.finetune.model import StageTwoModel
from fla_llm.finetune.store import describe_run, load_stage_two, save_stage_two
from fla_llm.finetune.train import tune
from fla_llm.llm.quantised_copy import quantise_llm

CPU = torch.device("cpu")
Build = Callable[..., StageTwoModel]
Modes = Callable[[Path], dict[str, str]]


def saved_run(model: StageTwoModel, run: Path) -> Path:
    """Save a model whose adapters change something, as ``fla tune`` would leave it."""
    torch.manual_seed(5)
    for name, parameter in model.named_parameters():
        if "lora_B" in name:
            torch.nn.init.normal_(parameter, std=0.3)
    run.mkdir()
    save_stage_two(model, run, description=describe_run(model, languages=["de"]))
    return run


def logits(model: StageTwoModel, batch: dict[str, Any]) -> torch.Tensor:
    """Return the logits where labels are."""
    with torch.no_grad():
        states = model.conditioned_lm.labelled_states(model._conditioning(batch), batch["labels"])
        return model.llm.get_output_embeddings()(states)


@pytest.mark.parametrize("shape", ["llama", "mbart"])
def test_a_merged_model_computes_what_base_and_scaled_adapters_compute(
    shape: str, build: Build, config: TuneConfig, items: list, tmp_path: Path, other_modes: Modes
) -> None:
    """Plain ones: test_families.py."""
    model = build(shape, quantise="none", lora=replace(config.lora, dora=True, rslora=True))
    run = saved_run(model, tmp_path / "run")
    exported = export_run(run, tmp_path / "out", merge=True, device="cpu")
    assert not (tmp_path / "out" / "lora").exists()
    assert AutoConfig.from_pretrained(tmp_path / "out" / "llm").model_type == shape
    assert other_modes(run) == other_modes(exported.out) == {}
    merged = load_stage_two(exported.out, device=CPU)
    batch = collate(items, codec=model.eval().codec)
    assert not torch.allclose(
        logits(model, batch), logits(build(shape, quantise="none").eval(), batch), atol=1e-2
    )
    torch.testing.assert_close(logits(merged, batch), logits(model, batch), atol=1e-4, rtol=0)
    assert merged.translate(batch, config.decoding) == model.translate(batch, config.decoding)


def test_a_copy_needs_no_run_but_the_base_model(
    build: Build, config: TuneConfig, items: list, tmp_path: Path, other_modes: Modes
) -> None:
    model = build("llama", quantise="none").eval()
    run = saved_run(model, tmp_path / "run")
    (run / "checkpoints").mkdir()
    for file in (run / "lora").iterdir():
        file.chmod(0o600)  # a run of an earlier version
    export_run(run, tmp_path / "out", merge=False)
    assert other_modes(tmp_path / "out") == {}
    run.rename(tmp_path / "gone")
    assert not (tmp_path / "out" / "checkpoints").exists()
    batch = collate(items, codec=model.codec)
    torch.testing.assert_close(
        logits(load_stage_two(tmp_path / "out", device=CPU), batch), logits(model, batch)
    )


def test_adapters_on_four_bits_are_merged_into_the_model_that_was_quantised(
    llm_folder: Callable[[str], Path], config: TuneConfig, tmp_path: Path
) -> None:
    from fla_llm.llm.load import load_llm

    copy = quantise_llm(str(llm_folder("llama")), tmp_path / "nf4", precision="fp32", device="cpu")
    base = load_llm(str(copy.out), quantise="nf4", device=CPU, dtype=torch.float32)
    model = StageTwoModel(base, config=config, feature_size=8, feature_fingerprint="e" * 64)
    run = tmp_path / "run"
    run.mkdir()
    save_stage_two(model, run, description=describe_run(model, languages=["de"]))  # B = 0: nothing is added
    export_run(run, tmp_path / "out", merge=True, precision="bf16", device="cpu")
    whole = load_llm(str(llm_folder("llama")), quantise="none", device=CPU, dtype=torch.bfloat16).model
    merged = load_stage_two(tmp_path / "out", device=CPU).llm
    assert merged.dtype == torch.bfloat16
    assert all(torch.equal(a, b) for a, b in zip(whole.parameters(), merged.parameters(), strict=True))
    described = json.loads((tmp_path / "out" / "run.json").read_text())
    assert described["merged"] == {"quantise": "nf4", "train": "lora+projector", "dtype": "bfloat16"}


def test_what_cannot_be_merged_is_refused(build: Build, config: TuneConfig, tmp_path: Path) -> None:
    plain = saved_run(build("llama", quantise="none", train="projector"), tmp_path / "plain")
    with pytest.raises(
        RunError, match="must hold adapters to be merged, but was trained with train=projector"
    ):
        export_run(plain, tmp_path / "out", merge=True)
    on_head = LoraSettings(rank=2, targets="q_proj,lm_head")
    with pytest.warns(UserWarning, match="tie_word_embeddings"):
        tied = saved_run(build("llama", quantise="none", lora=on_head), tmp_path / "tied")
    with (
        pytest.warns(UserWarning, match="tie_word_embeddings"),
        pytest.raises(ModelError, match="the head is the embedding too"),
    ):
        export_run(tied, tmp_path / "out2", merge=True, device="cpu")
    with pytest.raises(RunError, match="must hold a stage-two run, but lacks run.json"):
        export_run(tmp_path, tmp_path / "out3", merge=False)


@pytest.mark.parametrize("merge", [True, False])
def test_a_run_with_a_trimmed_vocabulary_stays_trimmed(
    merge: bool, llm_folder: Callable[[str], Path], config: TuneConfig, write_cache: Any, items: list,
    tmp_path: Path,
) -> None:  # fmt: skip
    cache, run = write_cache(tmp_path / "cache"), tmp_path / "run"
    trimmed = replace(config, quantise="none", trim_vocab=True, allow_lossy_tokenizer=True)
    tune([cache], llm=str(llm_folder("llama")), config=trimmed, out=run, device="cpu")
    exported = export_run(run, tmp_path / "out", merge=merge, device="cpu")
    before, after = (load_stage_two(folder, device=CPU).eval() for folder in (run, exported.out))
    assert after.language_model.kept_ids == before.language_model.kept_ids
    batch = collate(items, codec=before.codec)
    torch.testing.assert_close(logits(after, batch), logits(before, batch), atol=1e-4, rtol=0)
    assert after.translate(batch, config.decoding) == before.translate(batch, config.decoding)
