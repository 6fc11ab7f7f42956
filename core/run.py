"""A run directory: where a training leaves everything it made."""

from pathlib import Path

from .errors import RunError


def open_run(path: Path, *, resume: bool) -> Path:
    """Return ``path`` as a folder ready for a run.

    Raises:
        RunError: it holds something and ``resume`` is not asked for, or nothing is there to resume.
    """
    if path.exists() and not path.is_dir():
        raise RunError(f"{path} must be a folder, but is a file.\nGive another --out.")
    used = path.is_dir() and any(path.iterdir())
    if used and not resume:
        raise RunError(
            f"{path} is not empty.\nAdd --resume to go on with the run in it, or give another --out."
        )
    if resume and not used:
        raise RunError(f"{path} holds no run to resume.\nLeave --resume out to start one.")
    path.mkdir(parents=True, exist_ok=True)
    return path
