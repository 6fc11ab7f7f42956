"""Trackers beside ``log.jsonl``: transformers' own callbacks, fed with our losses and dev scores."""

import importlib.util
from pathlib import Path
from typing import Any

from transformers.integrations.integration_utils import TensorBoardCallback
from transformers.trainer_callback import CallbackHandler

from ..core.errors import ConfigError
from .config import Tracker

PACKAGES = {
    "tensorboard": ("tensorboard", "tensorboardX"),
    "wandb": ("wandb",),
    "trackio": ("trackio",),
}
"""Tracker -> packages one of which it needs; the first is what to install."""


def check_tracker(tracker: Tracker) -> None:
    """Refuse a tracker whose package is not installed.

    Raises:
        ConfigError: with the line that installs it.
    """
    names = PACKAGES.get(tracker, ())
    if names and not any(importlib.util.find_spec(name) for name in names):
        raise ConfigError(
            f"training.report_to is {tracker}, which must be installed, but is not.\n"
            f"Run: pip install {names[0]}"
        )


def prepare_trackers(handler: CallbackHandler, run: Path) -> None:
    """Make transformers' callbacks fit our runs.

    They take any ``model.config`` for transformers' own, and there is none; TensorBoard's events would lie
    among the checkpoints. ``TENSORBOARD_LOGGING_DIR`` still has its say.
    """
    handler.model = None
    for callback in handler.callbacks:
        if isinstance(callback, TensorBoardCallback) and callback.logging_dir is None:
            callback.logging_dir = str(run / "tensorboard")


def flat_row(row: dict[str, Any], *, prefix: str = "") -> dict[str, float]:
    """Return the numbers of a row of the log, groups joined to their keys: what trackers can draw.

    >>> flat_row({"loss": 2.0, "lr": {"lora": 0.1}, "grad_norm": None})
    {'loss': 2.0, 'lr/lora': 0.1}
    """
    found: dict[str, float] = {}
    for name, value in row.items():
        if isinstance(value, dict):
            found |= flat_row(value, prefix=f"{prefix}{name}/")
        elif isinstance(value, int | float):
            found[f"{prefix}{name}"] = value
    return found
