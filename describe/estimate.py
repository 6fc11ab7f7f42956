"""Estimate of the cost of a description: frames times measured seconds."""

import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
import torch

from .describer import Describer


@dataclass(frozen=True, kw_only=True)
class Estimate:
    """Cost of a description on this device."""

    frames: int
    """Frames that are still to be described, by the frame counts of the manifest."""
    seconds_per_frame: float
    """Measured on a batch of frames."""
    device: str

    @property
    def seconds(self) -> float:
        """Estimated duration."""
        return self.frames * self.seconds_per_frame

    def to_dict(self) -> dict[str, Any]:
        """Return the estimate as JSON values."""
        return asdict(self) | {"seconds": self.seconds}

    def describe(self) -> str:
        """Return the estimate as a sentence."""
        return (
            f"{self.frames} frames x {self.seconds_per_frame:.3g} s, measured on one batch on {self.device}: "
            f"about {in_hours(self.seconds)}"
        )


def measure(
    describer: Describer, pictures: Sequence[np.ndarray], *, frames: int, device: torch.device
) -> Estimate:
    """Describe a batch of pictures twice and return the estimate of the second time.

    Args:
        describer: the model.
        pictures: pictures of a batch, at least one.
        frames: frames to describe.
        device: where the model computes.
    """
    describer(pictures)  # the first batch also loads kernels
    begin = time.perf_counter()
    describer(pictures)  # decoding to text waits for the device
    seconds = (time.perf_counter() - begin) / len(pictures)
    # An estimate without the name of the card would be quoted for other cards.
    name = torch.cuda.get_device_name(device) if device.type == "cuda" else str(device)
    return Estimate(frames=frames, seconds_per_frame=seconds, device=name)


def in_hours(seconds: float) -> str:
    """Return a duration in words.

    >>> in_hours(30), in_hours(600), in_hours(7200), in_hours(5 * 86400)
    ('30 s', '10 min', '2.0 h', '120 h (5.0 days)')
    """
    if seconds < 120:
        return f"{seconds:.0f} s"
    if seconds < 7200:
        return f"{seconds / 60:.0f} min"
    hours = seconds / 3600
    return f"{hours:.1f} h" if hours < 48 else f"{hours:.0f} h ({hours / 24:.1f} days)"
