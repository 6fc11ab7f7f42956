"""Resuming a run with other settings: every difference is shown and refused, or allowed and logged."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from ..core.config import differences
from ..core.errors import RunError
from ..core.progress import say
from . import checkpoints
from .log import TrainingLog


def settle_changes(run: Path, begun: Mapping[str, Any], now: Mapping[str, Any], *, allow: bool) -> None:
    """Compare the settings of a run with those it is resumed with.

    Args:
        run: the run directory.
        begun: the settings it was begun with.
        now: those it is resumed with.
        allow: go on with other ones; ``log.jsonl`` gets a row at the step from which they hold.

    Raises:
        RunError: settings differ and ``allow`` is not given; all of them are named.
    """
    changed = differences(begun, now)
    if not changed:
        return
    lines = [f"  {key}: was {was!r}, is now {is_now!r}" for key, was, is_now in changed]
    if not allow:
        raise RunError(
            f"{run} must be resumed with the settings it was begun with, but these differ:\n"
            + "\n".join(lines)
            + "\nSet them back, add --allow-config-change to go on with the new ones, "
            "or start another run with another --out."
        )
    say("\n".join([f"{run} goes on with other settings:", *lines]))
    _log(run, {key: {"was": was, "is_now": is_now} for key, was, is_now in changed})


def _log(run: Path, changed: dict[str, Any]) -> None:
    steps = checkpoints.finished_steps(run / "checkpoints")
    step = steps[-1] if steps else 0
    log = TrainingLog(run / "log.jsonl")
    log.rewind(step)  # as training will: rows of steps that are taken again stand behind this one
    log.write({"step": step, "config_changed": changed})
