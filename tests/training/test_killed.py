"""SIGKILL during a checkpoint's save, at each thing it does: resumed, the run gives the same bytes."""

import json
import signal
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from fla_llm.training.checkpoints import (
    WEIGHTS,
    finish,
    finished_steps,
    keep_only,
    last_checkpoint,
    partial_folder,
)

from .conftest import log_rows

SCRIPT = Path(__file__).with_name("one_process.py")
SETTINGS: dict[str, Any] = {"epochs": 2, "save_every_steps": 1, "log_every_steps": 1}
"""With seven clips, two steps an epoch."""


def third_save(operations: list[str]) -> dict[str, int]:
    """Return operations of the third save, inside epoch 2, by the stage that has been reached before them."""
    weights = [number for number, name in enumerate(operations) if name == "weights"][2]
    rename = operations.index("rename", weights)
    removal = operations.index("rename", rename + 1)
    return {
        "states are written, weights are not": weights,
        "all is written": rename,
        "it has its name": rename + 1,
        "the name has reached the disk": removal,
        "half of the older one is removed": operations.index("rmdir", removal) - 2,
    }


def test_killed_at_any_stage_of_a_save_it_resumes_to_the_same_bytes(
    torchrun: Callable[..., list[int | None]], tmp_path: Path
) -> None:
    def train(folder: Path, *, strike: int = -1, seed: int = 0, **more: Any) -> int | None:
        parts = {"model": ("ToyModel", {"seed": seed}), "items": ("ToyItems", {"count": 7})}
        given = {"FOLDER": folder, "PARTS": parts, "SETTINGS": SETTINGS | more, "STRIKE": strike}
        return torchrun(SCRIPT, processes=1, OPERATIONS=tmp_path / "operations.json", **given)[0]

    assert train(tmp_path / "whole") == 0
    whole = (tmp_path / "whole/checkpoints/checkpoint-4" / WEIGHTS).read_bytes()
    operations = json.loads((tmp_path / "operations.json").read_text())
    struck = third_save(operations)
    assert [operations[at] for at in struck.values()] == ["weights", "rename", "fsync", "rename", "unlink"]
    for stage, at in struck.items():
        run = tmp_path / str(at)
        assert train(run, strike=at) == -signal.SIGKILL
        last = last_checkpoint(run / "checkpoints")
        assert last is not None
        assert {path.name for path in last.iterdir()} >= {"optimizer.pt", "trainer_state.json", WEIGHTS}
        assert train(run, seed=99, resume=True) == 0
        assert (run / "checkpoints/checkpoint-4" / WEIGHTS).read_bytes() == whole, stage
        assert [path.name for path in (run / "checkpoints").iterdir()] == ["checkpoint-4"]
        assert log_rows(run) == log_rows(tmp_path / "whole")


class Struck(Exception):
    pass


@pytest.fixture
def struck_half_way(monkeypatch: pytest.MonkeyPatch) -> None:
    """Removing a folder removes one file of it."""

    def remove(folder: Path, **options: Any) -> None:
        next(folder.iterdir()).unlink()
        raise Struck

    monkeypatch.setattr("shutil.rmtree", remove)


def write_partial(checkpoints: Path, step: int) -> Path:
    folder = partial_folder(checkpoints, step)
    folder.mkdir(parents=True)
    for name in ("a", "b"):
        (folder / name).write_text(name)
    return folder


@pytest.mark.usefixtures("struck_half_way")
def test_a_checkpoint_that_is_half_removed_is_not_a_finished_one(tmp_path: Path) -> None:
    for step in (1, 2):
        finish(write_partial(tmp_path, step))
    with pytest.raises(Struck):
        keep_only(tmp_path, {2})
    assert finished_steps(tmp_path) == [2]


def test_a_step_written_again_takes_the_place_of_the_one_before(
    tmp_path: Path, request: pytest.FixtureRequest
) -> None:
    finish(write_partial(tmp_path, 1))
    (again := write_partial(tmp_path, 1) / "a").write_text("new")
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr("shutil.rmtree", lambda folder: (_ for _ in ()).throw(Struck()))
        with pytest.raises(Struck):
            finish(again.parent)
    assert finished_steps(tmp_path) == []
    assert (finish(again.parent) / "a").read_text() == "new"
    keep_only(tmp_path, {1})
    assert [path.name for path in tmp_path.iterdir()] == ["checkpoint-1"]
