"""Checkpoint folders. Each is complete or absent, and only the best and the last are kept.

``checkpoints/checkpoint-<step>/`` holds ``model.safetensors`` (the trained tensors), with ``ema_decay`` their
average (``averaged.safetensors``), the states of optimiser, schedule and random generators, and
``trainer_state.json``.
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

# Only complete folders match: a folder has another name while its files are written or removed.
WEIGHTS = "model.safetensors"
AVERAGED = "averaged.safetensors"
STATE = "trainer_state.json"
_FINISHED = re.compile(r"checkpoint-(\d+)")


def checkpoint_folder(checkpoints: Path, step: int) -> Path:
    """Return the folder of the checkpoint of ``step``."""
    return checkpoints / f"checkpoint-{step}"


def partial_folder(checkpoints: Path, step: int) -> Path:
    """Return the folder of the checkpoint of ``step`` while its files are written."""
    return checkpoints / f"checkpoint-{step}.partial"


def finish(partial: Path) -> Path:
    """Make a written folder durable and give it its final name."""
    # After a power cut, a renamed folder must not hold empty files: the contents reach the disk first.
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
    """Replace the state of a finished checkpoint atomically."""
    with atomic_write(folder / STATE) as temporary:
        state.save_to_json(str(temporary))


def finished_steps(checkpoints: Path) -> list[int]:
    """Return the steps of all finished checkpoints in ascending order."""
    names = [folder.name for folder in checkpoints.glob("checkpoint-*")]
    return sorted(int(match[1]) for name in names if (match := _FINISHED.fullmatch(name)))


def last_checkpoint(checkpoints: Path) -> Path | None:
    """Return the finished checkpoint of the highest step, or None."""
    steps = finished_steps(checkpoints)
    return checkpoint_folder(checkpoints, steps[-1]) if steps else None


def keep_only(checkpoints: Path, steps: set[int]) -> None:
    """Remove unfinished checkpoints, and all finished checkpoints but ``steps``."""
    for folder in list(checkpoints.glob("checkpoint-*")):
        if _FINISHED.fullmatch(folder.name) is None:
            shutil.rmtree(folder)
    for step in finished_steps(checkpoints):
        if step not in steps:
            _remove(checkpoint_folder(checkpoints, step))


def _remove(finished: Path) -> None:
    """Remove a finished folder."""
    # The folder is renamed first: after a kill, a half removed folder does not count as a checkpoint.
    removed = finished.with_suffix(".removed")
    if removed.exists():  # a kill left this folder
        shutil.rmtree(removed)
    finished.rename(removed)
    sync_folder(finished.parent)
    shutil.rmtree(removed)


def save_weights(state: dict[str, Tensor], folder: Path, *, name: str = WEIGHTS) -> None:
    """Write tensors as safetensors, each contiguous and without shared memory."""
    save_file({name: tensor.contiguous() for name, tensor in state.items()}, folder / name)


def selected_file(folder: Path) -> Path:
    """Return the file with the weights that evaluations use: the average if there is one."""
    averaged = folder / AVERAGED
    return averaged if averaged.is_file() else folder / WEIGHTS


def load_weights(folder: Path, *, name: str = WEIGHTS) -> dict[str, Tensor]:
    """Read the tensors that :func:`save_weights` wrote.

    Raises:
        ModelError: the file is truncated or absent.
    """
    return read_tensors(folder / name)
