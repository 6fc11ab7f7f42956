"""One tiny model of each family goes the whole way by the real commands: tuned in 4 bits, stopped inside its
second epoch, resumed, evaluated, exported as it is and merged, and evaluated again.
"""

import itertools
import json
import shutil
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import pytest
import torch
from click.testing import CliRunner
from safetensors.torch import load_file, save_file
from stage_two_fixtures import TEXTS

from fla_llm.cli import fla
from fla_llm.core.config import load_config, write_config
from fla_llm.finetune.collate import collate
from fla_llm.finetune.config import TuneConfig
from fla_llm.finetune.model import StageTwoModel
from fla_llm.finetune.store import load_stage_two
from fla_llm.training.checkpoints import finished_steps

FAMILIES = ["llama", "qwen3", "gemma3_text", "xglm", "mbart", "t5"]
CPU = torch.device("cpu")
TRAINED = ("projector.safetensors", "lora/adapter_model.safetensors")
PREDICTIONS = "predictions-test.jsonl"
VOCABULARY, SPECIALS = 19, 4
BATCHES = 2  # in each of two epochs


@dataclass(frozen=True, kw_only=True)
class Way:
    """What one family left behind."""

    cache: Path
    whole: Path
    """Never stopped."""
    run: Path
    """Stopped and resumed."""
    steps_when_stopped: list[int]


def call(*arguments: str | Path, exit_code: int = 0) -> Any:
    given = [str(argument) for argument in (*arguments, "--device", "cpu", "--json")]
    done = CliRunner().invoke(fla, given, prog_name="fla")
    assert done.exit_code == exit_code, done.output
    return json.loads(done.stdout) if exit_code == 0 else None


def give_words(llm: Path, folder: Path) -> Path:
    """Copy a model, its special tokens made unlikely: an untrained one would often say nothing else."""
    shutil.copytree(llm, folder)
    weights = load_file(folder / "model.safetensors")
    for tensor in weights.values():
        if tensor.shape[0] == VOCABULARY:
            tensor[:SPECIALS] = 0
        elif tensor.shape == (1, VOCABULARY):  # mBART's bias
            tensor[:, :SPECIALS] = -1
    save_file(weights, folder / "model.safetensors", metadata={"format": "pt"})
    return folder


def stop(patch: pytest.MonkeyPatch, *, at_batch: int) -> None:
    """Interrupt a training before its ``at_batch``-th batch, as Ctrl-C would."""
    forward, count = StageTwoModel.forward, itertools.count(1)

    def interrupted(self: StageTwoModel, **batch: Any) -> dict[str, torch.Tensor]:
        if next(count) == at_batch:
            raise KeyboardInterrupt
        return forward(self, **batch)

    patch.setattr(StageTwoModel, "forward", interrupted)


@pytest.fixture(scope="module", params=FAMILIES)
def way(
    request: pytest.FixtureRequest,
    llm_folder: Callable[[str], Path],
    config: TuneConfig,
    cached: Path,
    tmp_path_factory: pytest.TempPathFactory,
) -> Way:
    """Tune a family twice with the same settings, once without a stop."""
    folder = tmp_path_factory.mktemp(f"way-{request.param}")
    training = replace(
        config.training, batch_clips=4 // BATCHES, save_every_steps=1, log_every_steps=1, select="last"
    )
    decoding = replace(config.decoding, max_new_tokens=4)
    write_config(replace(config, training=training, decoding=decoding), folder / "settings.yaml")
    llm = give_words(llm_folder(request.param), folder / "llm")
    arguments = ("tune", "--features", cached, "--llm", llm, "--config", folder / "settings.yaml")
    call(*arguments, "--out", folder / "whole")
    with pytest.MonkeyPatch.context() as patch:
        stop(patch, at_batch=2 * BATCHES)
        call(*arguments, "--out", folder / "resumed", exit_code=1)
    steps = finished_steps(folder / "resumed" / "checkpoints")
    call(*arguments, "--out", folder / "resumed", "--resume")
    return Way(cache=cached, whole=folder / "whole", run=folder / "resumed", steps_when_stopped=steps)


@pytest.fixture(scope="module")
def exported(way: Way, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The run exported with its adapters."""
    out = tmp_path_factory.mktemp("exported") / "model"
    assert call("export", way.run, "--out", out)["merged"] is False
    return out


def evaluate(run: Path, cache: Path) -> bytes:
    """Return the predictions that ``fla evaluate`` writes."""
    assert call("evaluate", run, "--features", cache, "--split", "test")["count"] == len(TEXTS)
    return (run / PREDICTIONS).read_bytes()


def logits(model: StageTwoModel, items: list) -> torch.Tensor:
    """Return the logits where labels are."""
    batch = collate(items, codec=model.codec)
    with torch.no_grad():
        states = model.conditioned_lm.labelled_states(model._conditioning(batch), batch["labels"])
        assert model.conditioned_lm.head is not None
        return model.conditioned_lm.head(states)


def test_a_run_stopped_inside_its_second_epoch_ends_as_one_never_stopped(way: Way) -> None:
    assert max(way.steps_when_stopped) == 2 * BATCHES - 1
    for part in TRAINED:
        assert (way.run / part).read_bytes() == (way.whole / part).read_bytes()
    logs = ((run / "log.jsonl").read_text().splitlines() for run in (way.run, way.whole))
    # Only the speed differs between two equal runs.
    rows, expected = ([json.loads(line) | {"speed": None} for line in log] for log in logs)
    assert rows == expected
    assert [row["step"] for row in rows if "loss" in row] == [1, 2, 3, 4]
    trained = [tensor for part in TRAINED for tensor in load_file(way.run / part).values()]
    assert all(torch.isfinite(tensor).all() and tensor.any() for tensor in trained)


def test_an_export_translates_as_its_run(way: Way, exported: Path) -> None:
    said = evaluate(way.run, way.cache)
    assert all(json.loads(row)["prediction"] for row in said.splitlines())
    assert evaluate(exported, way.cache) == said


def test_a_merged_export_computes_what_base_and_adapters_compute(
    way: Way, exported: Path, items: list, tmp_path: Path
) -> None:
    """On the base in fp32: that is the one which ``--merge`` takes, whatever the run was trained on."""
    config = load_config(TuneConfig, source=str(exported / "config.yaml"))
    whole, merged = tmp_path / "whole", tmp_path / "merged"
    shutil.copytree(exported, whole)
    write_config(replace(config, quantise="none"), whole / "config.yaml")
    assert call("export", way.run, "--out", merged, "--merge")["merged"] is True
    assert evaluate(merged, way.cache) == evaluate(whole, way.cache)
    base_and_adapters, model = (load_stage_two(folder, device=CPU) for folder in (whole, merged))
    expected = logits(base_and_adapters, items)
    torch.testing.assert_close(logits(model, items), expected, atol=1e-4, rtol=0)
    with base_and_adapters.llm.disable_adapter():
        assert not torch.allclose(logits(base_and_adapters, items), expected, atol=1e-3)
