"""Search for the fastest frame batch on CUDA, before the first clip."""

import time
from collections.abc import Callable
from itertools import pairwise

import numpy as np
import torch

from ..core.errors import ConfigError
from ..encoder.encode import Level, encode
from ..encoder.frozen import FrozenEncoder

SIZES = (16, 32, 64, 128, 256, 512, 1024)
"""Frame batches to try, in this order."""
WORTHWHILE = 1.05
"""Smallest speed-up for which a larger frame batch is taken."""
_BATCHES = 4
"""Batches per trial: enough to pack a batch while the device computes another."""
_CLIP_FRAMES = 256
"""Frames of a trial clip, similar to the longest real clips."""


def choose_frame_batch(seconds: Callable[[int], float]) -> int:
    """Return the last of 16, 32, ... 1024 that fits and is at least 5 % faster than the one before.

    >>> choose_frame_batch(lambda frame_batch: 1 / min(frame_batch, 100))
    128

    Args:
        seconds: returns the cost of a frame at a frame batch. Where memory is too small, it raises
            torch.OutOfMemoryError, or a ConfigError with this cause.

    Raises:
        ConfigError: not even the smallest fits.
    """
    cost = _cost(seconds, SIZES[0])
    if cost is None:
        raise ConfigError(
            f"The device must have memory for {SIZES[0]} frames at a time, but has not.\n"
            f"End what else runs on it, or try --set frame_batch={SIZES[0] // 4}."
        )
    for size, larger in pairwise(SIZES):
        next_cost = _cost(seconds, larger)
        if next_cost is None or cost < WORTHWHILE * next_cost:
            return size
        cost = next_cost
    return SIZES[-1]


def _cost(seconds: Callable[[int], float], frame_batch: int) -> float | None:
    """Return the cost of a frame, or None where memory is too small."""
    try:
        return seconds(frame_batch)
    except torch.OutOfMemoryError:
        return None
    except ConfigError as error:  # the encoder's own report of too little memory
        if not isinstance(error.__cause__, torch.OutOfMemoryError):
            raise
        return None


def seconds_to_encode(
    encoder: FrozenEncoder, *, level: Level, device: torch.device, dtype: torch.dtype
) -> Callable[[int], float]:
    """Return a function: frame batch -> seconds a frame takes, the better of two tries."""
    side = encoder.config.image_size

    def run(frame_batch: int) -> float:
        rest, clips = _BATCHES * frame_batch, list[tuple[int, np.ndarray]]()
        while rest:
            count = min(rest, _CLIP_FRAMES)
            clips.append((len(clips), np.zeros((count, side, side, 3), np.uint8)))
            rest -= count
        begin = time.perf_counter()
        for _ in encode(encoder, clips, frame_batch=frame_batch, level=level, device=device, dtype=dtype):
            pass
        return (time.perf_counter() - begin) / (_BATCHES * frame_batch)

    def seconds(frame_batch: int) -> float:
        run(frame_batch)  # the first run chooses kernels and takes memory
        return min(run(frame_batch), run(frame_batch))

    return seconds
