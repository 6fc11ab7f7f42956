"""Trackers besides ``log.jsonl``: transformers' callbacks with our losses and dev scores."""

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
"""Tracker -> alternative packages. The error recommends the first package."""


def check_tracker(tracker: Tracker) -> None:
    """Refuse a tracker whose package is not installed.

    Raises:
        ConfigError: the package is absent. The error gives the command to install it.
    """
    names = PACKAGES.get(tracker, ())
    if names and not any(importlib.util.find_spec(name) for name in names):
        raise ConfigError(
            f"training.report_to is {tracker}, which must be installed, but is not.\n"
            f"Run: pip install {names[0]}"
        )


def prepare_trackers(handler: CallbackHandler, run: Path) -> None:
    """Adapt transformers' callbacks to our models and run directories."""
    # The callbacks read model.config as a configuration of transformers, which our models do not have.
    handler.model = None
    for callback in handler.callbacks:
        # The default folder lies among the checkpoints. TENSORBOARD_LOGGING_DIR of the user is kept.
        if isinstance(callback, TensorBoardCallback) and callback.logging_dir is None:
            callback.logging_dir = str(run / "tensorboard")


def flat_row(row: dict[str, Any], *, prefix: str = "") -> dict[str, float]:
    """Return the numbers of a row of the log under flat names, for trackers.

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
