"""Checks of a resumed run: changed settings are refused or logged, and changed batches are refused."""

import hashlib
import json
import logging
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from ..core.config import differences
from ..core.errors import RunError
from . import checkpoints
from .batches import BatchDataset
from .config import TrainingConfig
from .log import TrainingLog

logger = logging.getLogger(__name__)


def changed_settings(
    run: Path, begun: Mapping[str, Any], now: Mapping[str, Any], *, allow: bool
) -> dict[str, Any]:
    """Compare the settings at the start of a run with the settings now. Nothing is written.

    Args:
        run: the run directory.
        begun: settings at the start of the run.
        now: settings now.
        allow: continue even if settings differ.

    Returns:
        ``{"was", "is_now"}`` of each changed setting, for :func:`log_changes`.

    Raises:
        RunError: settings differ and ``allow`` is false. The error names all of them.
    """
    changed = differences(begun, now)
    if not changed:
        return {}
    lines = [f"  {key}: was {was!r}, is now {is_now!r}" for key, was, is_now in changed]
    if not allow:
        raise RunError(
            f"{run} must be resumed with the settings it was begun with, but these differ:\n"
            + "\n".join(lines)
            + "\nSet them back, add --allow-config-change to go on with the new ones, "
            "or start another run with another --out."
        )
    logger.warning("\n".join([f"{run} goes on with other settings:", *lines]))
    return {key: {"was": was, "is_now": is_now} for key, was, is_now in changed}


def describe_batches(batches: BatchDataset, config: TrainingConfig) -> dict[str, Any]:
    """Return count, accumulation and digest of the batches, for :func:`refuse_other_batches`."""
    digest = hashlib.sha256(json.dumps(batches.batches).encode()).hexdigest()
    return {"count": len(batches), "accumulate": config.accumulate, "digest": digest}


def refuse_other_batches(run: Path, begun: Mapping[str, Any], now: Mapping[str, Any]) -> None:
    """Compare the batches at the start of a run with the batches now.

    Raises:
        RunError: the batches differ.
    """
    # A resumed run finds its batch by counting. With other batches it would repeat or skip clips.
    if begun != now:
        raise RunError(
            f"{run} must be resumed with the batches it was begun with ({begun['count']}, "
            f"{begun['accumulate']} a step), but with these settings they are others ({now['count']}, "
            f"{now['accumulate']} a step).\n"
            "Set back what decides them (training.batch_*, training.accumulate, prompt, projector, seed), or "
            "start another run with another --out."
        )


def log_changes(run: Path, changed: Mapping[str, Any]) -> None:
    """Write the result of :func:`changed_settings` into ``log.jsonl`` at the current step."""
    if not changed:
        return
    steps = checkpoints.finished_steps(run / "checkpoints")
    step = steps[-1] if steps else 0
    log = TrainingLog(run / "log.jsonl")
    log.rewind(step)  # the training rewinds too: rows of repeated steps must not precede this row
    log.write({"step": step, "config_changed": changed})
