"""The one way clips become features: extraction, translation and evaluation all pass through here.

So that a clip's features do not depend on the company it is encoded in, the encoder always sees exactly as
many units (frames, or windows of frames) at once: clips straddle batches, the last batch is filled up with
zeros. The temporal module sees one clip at a time, at its own length.
"""

from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Generic, Literal, TypeVar

import numpy as np
import torch
from torch import Tensor

from ..core.errors import ConfigError, DataError
from .frozen import FrozenEncoder
from .lane import lane_to
from .packing import Share, pack_batches

K = TypeVar("K")
Level = Literal["sign", "frame"]
FLOAT16_MAX = 65504.0
"""The largest number float16 holds (IEEE 754)."""


def encode(
    encoder: FrozenEncoder,
    clips: Iterable[tuple[K, np.ndarray]],
    *,
    frame_batch: int,
    level: Level,
    device: torch.device,
    dtype: torch.dtype,
    filled: int = 0,
    compile: bool = False,
) -> Iterator[tuple[K, np.ndarray]]:
    """Encode clips in order; the encoder is moved to ``device`` and left in evaluation mode.

    On CUDA the next batch is packed and copied while the encoder computes, and a clip's features come when
    the batch behind its last one is under way.

    Args:
        encoder: the frozen encoder.
        clips: keys and frames (T, S, S, 3), uint8, S at least the encoder's image size: the middle is taken.
        frame_batch: frames the encoder sees at once; part of what determines the last bits. Of a clip
            encoder, rounded down to whole windows.
        level: features of the temporal module ("sign") or of what stands before it ("frame").
        device: where to compute.
        dtype: what to compute in; torch.float32, or a smaller type under autocast.
        filled: units the first batch held already when an earlier run was ended; zeros take their place, so
            that what follows lies where it would have lain.
        compile: let torch compile what sees the units, on the first batch; last bits may differ from without.

    Yields:
        Keys and features (T, D), float16.

    Raises:
        DataError: a clip's features are not finite, or too large for float16; it names the clip.
        ConfigError: a CUDA device has too little memory for ``frame_batch``, or a window has more frames.
        ModelError: level "sign" of an encoder without temporal module.
        ValueError: ``frame_batch`` is below 1, ``filled`` leaves no room in a batch, or a clip has no frames
            or too small ones.
    """
    if level == "sign":
        encoder.require_temporal()
    size, windows = encoder.config.image_size, encoder.windows
    with _room_for(frame_batch, device):
        encoder.prepare(device)
        lane = lane_to(device, num_frames=windows.per_batch(frame_batch) * windows.frames, size=size)
    see = torch.compile(encoder.unit_features) if compile else encoder.unit_features
    batches = pack_batches(
        clips, size=size, frame_batch=frame_batch, windows=windows, filled=filled, new_batch=lane.new_batch
    )
    pieces: list[Tensor] = []
    waiting: list[_Coming[K]] = []
    for batch, shares in batches:
        with _room_for(frame_batch, device):
            features = _computed(see, lane.send(batch), dtype)[filled:]
            filled, coming = 0, list[_Coming[K]]()
            for key, units in _ended(features, shares, pieces):
                kept, largest = _finished(encoder, units, level=level, dtype=dtype)
                coming.append(_Coming(key=key, features=lane.fetch(kept), largest=lane.fetch(largest)))
            arrival = lane.arrival()
        for clip in coming:
            clip.arrival = arrival
        ready, waiting = (waiting, coming) if lane.runs_ahead else (coming, waiting)
        yield from (clip.come() for clip in ready)
    yield from (clip.come() for clip in waiting)


def _ended(features: Tensor, shares: list[Share[K]], pieces: list[Tensor]) -> Iterator[tuple[K, Tensor]]:
    """Yield the clips that end in a batch; ``pieces`` holds what earlier batches gave of the first one.

    What the batch gives of a clip that goes on is left in ``pieces``.
    """
    start = 0
    for key, count, is_last in shares:
        pieces.append(features[start : start + count])
        start += count
        if is_last:
            yield key, torch.cat(pieces)
            pieces.clear()


@dataclass
class _Coming(Generic[K]):
    """A clip's features on their way to the CPU."""

    key: K
    features: Tensor
    largest: Tensor
    arrival: torch.cuda.Event | None = None

    def come(self) -> tuple[K, np.ndarray]:
        """Wait for the features and return them with their clip's key, when float16 holds them."""
        if self.arrival is not None:
            self.arrival.synchronize()
        largest = self.largest.item()  # NaN when any is
        if not largest <= FLOAT16_MAX:
            raise DataError(
                f"clip {self.key!r} must give features of at most {FLOAT16_MAX:.0f}, "
                f"but the largest is {largest}."
            )
        return self.key, self.features.numpy()


@torch.no_grad()
def _computed(see: Callable[[Tensor], Tensor], frames: Tensor, dtype: torch.dtype) -> Tensor:
    # Trying out kernels (benchmark) would let the clock choose among results that differ in their last bits.
    with (
        torch.backends.cudnn.flags(enabled=True, benchmark=False, deterministic=True),
        torch.autocast(frames.device.type, dtype=dtype, enabled=dtype != torch.float32),
    ):
        return see(frames)


@torch.no_grad()
def _finished(
    encoder: FrozenEncoder, features: Tensor, *, level: Level, dtype: torch.dtype
) -> tuple[Tensor, Tensor]:
    """Turn a clip's unit features (T, F) into what is kept of it, (T, D) float16, and its largest number."""
    if level == "sign":
        with torch.autocast(features.device.type, dtype=dtype, enabled=dtype != torch.float32):
            features = encoder.sign_features(features)
    return features.to(torch.float16), features.abs().max()


@contextmanager
def _room_for(frame_batch: int, device: torch.device) -> Iterator[None]:
    try:
        yield
    except torch.OutOfMemoryError as error:
        raise ConfigError(
            f"frame_batch must fit the memory of {device}, but is {frame_batch}: "
            f"{str(error).partition('. ')[0]}.\n"
            f"Set a smaller one, such as --set frame_batch={max(1, frame_batch // 2)}: "
            "unfinished shards are then begun anew.\n"
            "With the same one, once there is room, they go on where they were."
        ) from error
