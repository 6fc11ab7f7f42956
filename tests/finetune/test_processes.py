"""Several processes tune as one does, and a run that was killed goes on to the same bytes."""

import json
import shutil
import signal
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file

from fla_llm.finetune.config import LoraSettings, TuneConfig
from fla_llm.training.checkpoints import finished_steps

SCRIPT = Path(__file__).with_name("one_process.py")
ADAPTERS, PROJECTOR = "lora/adapter_model.safetensors", "projector.safetensors"
Run = Callable[..., list[int | None]]
Splits = tuple[str, ...]
TRAIN, WITH_DEV = ("train",), ("train", "dev")


@pytest.fixture
def tune_in(
    torchrun: Run,
    llm_folder: Callable[[str], Path],
    write_cache: Callable[..., Path],
    items: list,
    tmp_path: Path,
) -> Run:
    """Return a function that tunes on five clips, a batch each, in so many processes."""
    items.append(items[1] | {"id": "clip-4", "text": "regen"})
    caches = {splits: write_cache(tmp_path / splits[-1], splits=splits) for splits in (TRAIN, WITH_DEV)}

    def without_dropout(shape: str) -> Path:
        llm = tmp_path / shape
        if not llm.exists():
            shutil.copytree(llm_folder(shape), llm)
            settings = json.loads((llm / "config.json").read_text())
            drawn = {name: 0.0 for name in settings if "dropout" in name or "layerdrop" in name}
            (llm / "config.json").write_text(json.dumps(settings | drawn))
        return llm

    def run(
        folder: str, *, processes: int, config: TuneConfig, splits: Splits = TRAIN,
        shape: str = "llama", killed_at: int | None = None, **training: Any,
    ) -> list[int | None]:  # fmt: skip
        select = "best" if splits == WITH_DEV else "last"
        training = {"batch_clips": 1, "select": select} | training
        own = replace(config, training=replace(config.training, **training))
        out = tmp_path / folder
        settings = {
            "features": [caches[splits]],
            "llm": str(without_dropout(shape)),
            "config": own,
            "out": out,
        }
        settings["resume"] = out.exists()
        return torchrun(SCRIPT, processes=processes, SETTINGS=settings, KILLED_AT=killed_at)

    return run


@pytest.mark.parametrize(
    ("shape", "train", "quantise", "precision", "splits", "parts"),
    [
        ("llama", "lora+projector", "nf4", "fp32", WITH_DEV, (ADAPTERS, PROJECTOR, "predictions-dev.jsonl")),
        ("llama", "projector", "nf4", "bf16", TRAIN, (PROJECTOR,)),
        ("mbart", "lora", "none", "fp32", TRAIN, (ADAPTERS, PROJECTOR)),
        ("mbart", "full", "none", "fp32", TRAIN, ("llm/model.safetensors", PROJECTOR)),
    ],
)
def test_two_processes_tune_as_one_that_accumulates_twice_as_many_batches(
    shape: str, train: Any, quantise: Any, precision: Any, splits: Splits, parts: tuple[str, ...],
    tune_in: Run, config: TuneConfig, tmp_path: Path,
) -> None:  # fmt: skip
    own = replace(config, train=train, quantise=quantise, activation_checkpointing=True)
    common = {"shape": shape, "config": own, "precision": precision, "epochs": 1, "splits": splits}
    assert tune_in("two", processes=2, **common) == [0, 0]
    assert tune_in("one", processes=1, accumulate=2, **common) == [0]
    assert finished_steps(tmp_path / "two" / "checkpoints") == [3]  # two batches each, and one
    for part in parts:
        assert (tmp_path / "two" / part).read_bytes() == (tmp_path / "one" / part).read_bytes(), part


@pytest.mark.parametrize("processes", [1, 2])
def test_killed_inside_epoch_two_a_run_goes_on_to_the_same_bytes(
    processes: int, tune_in: Run, config: TuneConfig, tmp_path: Path
) -> None:
    own = replace(config, lora=LoraSettings(rank=4, alpha=8, dropout=0.2), activation_checkpointing=True)
    common = {"processes": processes, "config": own, "save_every_steps": 1, "accumulate": 2 // processes}
    assert tune_in("whole", **common) == [0] * processes
    batches_each = 5 if processes == 1 else 3
    killed = tune_in("killed", **common, killed_at=batches_each + 2 // processes + 1)
    assert killed[0] == -signal.SIGKILL
    assert 0 not in killed
    assert finished_steps(tmp_path / "killed" / "checkpoints")[-1] in {4, 5}  # three steps an epoch
    assert not (tmp_path / "killed" / "run.json").exists()
    assert tune_in("killed", **common) == [0] * processes
    for part in (ADAPTERS, PROJECTOR):
        assert (tmp_path / "killed" / part).read_bytes() == (tmp_path / "whole" / part).read_bytes(), part


def test_of_several_batches_each_only_the_order_of_the_sum_differs(
    tune_in: Run, config: TuneConfig, tmp_path: Path
) -> None:
    """Adam's first steps would make more of an ulp: they divide a gradient by its own size."""
    common = {"config": config, "optimiser": "sgd"}
    assert tune_in("two", processes=2, accumulate=2, **common) == [0, 0]
    assert tune_in("one", processes=1, accumulate=4, **common) == [0]
    for part in (ADAPTERS, PROJECTOR):
        two, one = (load_file(tmp_path / folder / part) for folder in ("two", "one"))
        ulp = torch.finfo(torch.float32).eps * max(weight.abs().max().item() for weight in one.values())
        assert all(torch.allclose(two[name], one[name], rtol=0, atol=2 * ulp) for name in one)
