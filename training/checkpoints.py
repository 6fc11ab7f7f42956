"""Checkpoint folders: whole or not there, the best and the last kept.

``checkpoints/checkpoint-<step>/`` holds ``model.safetensors`` (what is trained), the optimiser, schedule
and random states, and ``trainer_state.json``. A folder is written as ``checkpoint-<step>.partial`` and
renamed when everything in it has reached the disk, and renamed again before anything in it is removed: one
of which a part is there is never taken for a finished one.
"""

import os
import re
import shutil
from pathlib import Path

from safetensors.torch import save_file
from torch import Tensor
from transformers import TrainerState

from ..core.files import atomic_write, respect_umask, sync_folder
from ..core.weights import read_tensors

WEIGHTS = "model.safetensors"
STATE = "trainer_state.json"
_FINISHED = re.compile(r"checkpoint-(\d+)")


def checkpoint_folder(checkpoints: Path, step: int) -> Path:
    """Return where the checkpoint of ``step`` lies."""
    return checkpoints / f"checkpoint-{step}"


def partial_folder(checkpoints: Path, step: int) -> Path:
    """Return where the checkpoint of ``step`` is being written."""
    return checkpoints / f"checkpoint-{step}.partial"


def finish(partial: Path) -> Path:
    """Make a written folder durable and give it its final name."""
    files = list(partial.iterdir())
    respect_umask(files)
    for file in files:
        with file.open("rb+") as handle:
            os.fsync(handle.fileno())
    sync_folder(partial)
    final = partial.with_suffix("")
    if final.exists():  # the same step, written again after a resume
        _remove(final)
    partial.rename(final)
    sync_folder(final.parent)
    return final


def replace_state(folder: Path, state: TrainerState) -> None:
    """Write the state of a finished checkpoint anew, whole or not at all."""
    with atomic_write(folder / STATE) as temporary:
        state.save_to_json(str(temporary))


def finished_steps(checkpoints: Path) -> list[int]:
    """Return the steps of all finished checkpoints, ascending; unfinished ones are passed over."""
    names = [folder.name for folder in checkpoints.glob("checkpoint-*")]
    return sorted(int(match[1]) for name in names if (match := _FINISHED.fullmatch(name)))


def last_checkpoint(checkpoints: Path) -> Path | None:
    """Return the finished checkpoint of the highest step, if there is one."""
    steps = finished_steps(checkpoints)
    return checkpoint_folder(checkpoints, steps[-1]) if steps else None


def keep_only(checkpoints: Path, steps: set[int]) -> None:
    """Remove every checkpoint but those of ``steps``, and what unfinished ones left behind."""
    for folder in list(checkpoints.glob("checkpoint-*")):
        if _FINISHED.fullmatch(folder.name) is None:
            shutil.rmtree(folder)
    for step in finished_steps(checkpoints):
        if step not in steps:
            _remove(checkpoint_folder(checkpoints, step))


def _remove(finished: Path) -> None:
    """Remove a finished folder; one that is half removed has another name."""
    removed = finished.with_suffix(".removed")
    if removed.exists():  # what a kill left behind
        shutil.rmtree(removed)
    finished.rename(removed)
    sync_folder(finished.parent)
    shutil.rmtree(removed)


def save_weights(state: dict[str, Tensor], folder: Path) -> None:
    """Write tensors as safetensors; each is stored contiguous and on its own."""
    save_file({name: tensor.contiguous() for name, tensor in state.items()}, folder / WEIGHTS)


def load_weights(folder: Path) -> dict[str, Tensor]:
    """Read what :func:`save_weights` wrote.

    Raises:
        ModelError: the file is cut or absent.
    """
    return read_tensors(folder / WEIGHTS)
