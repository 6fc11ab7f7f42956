"""Run directories, which hold all results of a training."""

import os
from pathlib import Path

from .errors import RunError
from .files import visible


def new_folder(path: Path) -> Path:
    """Make ``path`` an empty folder and return the path. Hidden files such as ``.DS_Store`` do not count.

    Raises:
        RunError: the folder holds a file, or ``path`` is a file.
    """
    check_new_folder(path)
    path.mkdir(parents=True, exist_ok=True)
    return path


def check_new_folder(path: Path) -> None:
    """Refuse a folder that is not empty. Nothing is written.

    Raises:
        RunError: the folder holds a file, or ``path`` is a file.
    """
    _refuse_file(path)
    if _is_used(path):
        raise RunError(f"{path} is not empty.\nRemove it, or give another --out.")


def is_first_process() -> bool:
    """Return whether this process is alone, or the first process of torchrun."""
    # From the environment, because torch is not loaded yet.
    return int(os.environ.get("RANK", "0")) == 0


def check_run_folder(path: Path, *, resume: bool) -> None:
    """Refuse a folder where no run can start or resume. Nothing is written.

    Raises:
        RunError: the folder holds a file and ``resume`` is False, the folder holds no run to resume, or
            ``path`` is a file.
    """
    _refuse_file(path)
    if not resume and _is_used(path):
        raise RunError(
            f"{path} is not empty.\nAdd --resume to go on with the run in it, or give another --out."
        )
    if resume and not _is_used(path):
        raise RunError(f"{path} holds no run to resume.\nLeave --resume out to start one.")


def _refuse_file(path: Path) -> None:
    if path.exists() and not path.is_dir():
        raise RunError(f"{path} must be a folder, but is a file.\nGive another --out.")


def _is_used(path: Path) -> bool:
    return path.is_dir() and bool(visible(path.iterdir()))
