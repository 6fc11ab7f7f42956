"""A checkpoint has its name only when everything in it has reached the disk."""

import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from fla_llm.training.checkpoints import finish, keep_only, partial_folder, replace_state

Event = tuple[str, int]


@pytest.fixture
def events(monkeypatch: pytest.MonkeyPatch) -> list[Event]:
    """What is synced, renamed and removed, in order, by the inode of each file and folder."""
    found: list[Event] = []

    def noted(name: str, inode: Callable[..., int]) -> None:
        call = getattr(os, name)

        def act(*arguments: Any, **options: Any) -> Any:
            found.append((name, inode(*arguments, **options)))
            return call(*arguments, **options)

        monkeypatch.setattr(os, name, act)

    noted("fsync", lambda descriptor: os.fstat(descriptor).st_ino)
    noted("rename", lambda source, *_: os.stat(source).st_ino)
    noted("replace", lambda source, *_: os.stat(source).st_ino)
    noted("unlink", lambda path, *, dir_fd=None: os.stat(path, dir_fd=dir_fd).st_ino)
    return found


def write_partial(checkpoints: Path, step: int) -> Path:
    folder = partial_folder(checkpoints, step)
    folder.mkdir(parents=True)
    for name in ("model.safetensors", "optimizer.pt", "trainer_state.json"):
        (folder / name).write_text(name)
    return folder


def test_files_and_folder_are_synced_before_the_name_and_the_name_after_it(
    tmp_path: Path, events: list[Event]
) -> None:
    partial = write_partial(tmp_path, 1)
    inside = {("fsync", path.stat().st_ino) for path in (partial, *partial.iterdir())}
    renamed = ("rename", partial.stat().st_ino)
    finish(partial)
    at = events.index(renamed)
    assert inside <= set(events[:at])
    assert ("fsync", tmp_path.stat().st_ino) in events[at:]


def test_a_removal_is_on_the_disk_before_a_file_is_removed(tmp_path: Path, events: list[Event]) -> None:
    for step in (1, 2):
        finish(write_partial(tmp_path, step))
    old = (tmp_path / "checkpoint-1").stat().st_ino
    events.clear()
    keep_only(tmp_path, {2})
    names = [name for name, _ in events]
    assert events[0] == ("rename", old)
    assert events[1] == ("fsync", tmp_path.stat().st_ino)
    assert set(names[2:]) == {"unlink"}


def test_a_state_that_is_replaced_is_synced_before_it_gets_its_name(
    tmp_path: Path, events: list[Event]
) -> None:
    from transformers import TrainerState

    folder = finish(write_partial(tmp_path, 1))
    events.clear()
    replace_state(folder, TrainerState(epoch=1.5))
    state = (folder / "trainer_state.json").stat().st_ino
    at = events.index(("replace", state))
    assert ("fsync", state) in events[:at]
    assert ("fsync", folder.stat().st_ino) in events[at:]
