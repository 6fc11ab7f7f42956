"""The one way clips become features: extraction, translation and evaluation all pass through here.

So that a clip's features do not depend on the company it is encoded in, the backbone always sees exactly
``frame_batch`` frames: clips straddle batches, the last batch is filled up with zeros. The temporal module
sees one clip at a time, at its own length.
"""

from collections.abc import Iterable, Iterator
from typing import Literal, TypeVar

import numpy as np
import torch
from torch import Tensor

from ..core.errors import DataError
from ..video.transforms import centre_crop
from .model import VisualEncoder

K = TypeVar("K")
Level = Literal["sign", "frame"]
Share = tuple[K, int, bool]
"""A clip's key, how many of a batch's frames are its, and whether they are its last."""
FLOAT16_MAX = 65504.0
"""The largest number float16 holds (IEEE 754)."""


def encode(
    encoder: VisualEncoder,
    clips: Iterable[tuple[K, np.ndarray]],
    *,
    frame_batch: int,
    level: Level,
    device: torch.device,
    dtype: torch.dtype,
) -> Iterator[tuple[K, np.ndarray]]:
    """Encode clips in order; the encoder is moved to ``device`` and left in evaluation mode.

    Args:
        encoder: the frozen encoder.
        clips: keys and frames (T, S, S, 3), uint8, S at least the encoder's image size: the middle is taken.
        frame_batch: frames the backbone sees at once; part of what determines the last bits.
        level: features of the temporal module ("sign") or of the backbone ("frame").
        device: where to compute.
        dtype: what to compute in; torch.float32, or a smaller type under autocast.

    Yields:
        Keys and features (T, D), float16.

    Raises:
        DataError: a clip's features are not finite, or too large for float16; it names the clip.
        ModelError: level "sign" of an encoder without temporal module.
        ValueError: ``frame_batch`` is below 1, or a clip has no frames or too small ones.
    """
    if level == "sign":
        encoder.require_temporal()
    encoder.eval().to(device)
    encoder.backbone.to(memory_format=torch.channels_last)
    pieces: list[Tensor] = []
    for batch, shares in pack_batches(clips, size=encoder.config.image_size, frame_batch=frame_batch):
        features, start = _frame_features(encoder, batch.to(device), dtype), 0
        for key, count, is_last in shares:
            pieces.append(features[start : start + count])
            start += count
            if is_last:
                yield key, _finish(encoder, torch.cat(pieces), key=key, level=level, dtype=dtype)
                pieces = []


def pack_batches(
    clips: Iterable[tuple[K, np.ndarray]], *, size: int, frame_batch: int
) -> Iterator[tuple[Tensor, list[Share[K]]]]:
    """Cut a stream of clips into batches of exactly ``frame_batch`` frames, the last filled up with zeros.

    Yields:
        Frames (frame_batch, 3, size, size), uint8, and whose they are, in order.

    Raises:
        ValueError: ``frame_batch`` is below 1, or a clip has no frames or too small ones.
    """
    if frame_batch < 1:
        raise ValueError(f"frame_batch must be at least 1, but is {frame_batch}.")
    batch, shares, filled = _blank(frame_batch, size), list[Share[K]](), 0
    for key, frames in clips:
        if len(frames) == 0:
            raise ValueError(f"clip {key!r} must have frames, but has none.")
        rest = centre_crop(torch.from_numpy(frames).permute(0, 3, 1, 2), size=size)
        while len(rest):
            count = min(len(rest), frame_batch - filled)
            batch[filled : filled + count] = rest[:count]
            shares.append((key, count, count == len(rest)))
            rest, filled = rest[count:], filled + count
            if filled == frame_batch:
                yield batch, shares
                batch, shares, filled = _blank(frame_batch, size), [], 0
    if filled:
        yield batch, shares


def _blank(frame_batch: int, size: int) -> Tensor:
    """Return black frames (B, 3, S, S) that lie in memory as decoded ones do: colours innermost."""
    return torch.zeros(frame_batch, size, size, 3, dtype=torch.uint8).permute(0, 3, 1, 2)


@torch.no_grad()
def _frame_features(encoder: VisualEncoder, frames: Tensor, dtype: torch.dtype) -> Tensor:
    # Trying out kernels (benchmark) would let the clock choose among results that differ in their last bits.
    with (
        torch.backends.cudnn.flags(enabled=True, benchmark=False, deterministic=True),
        torch.autocast(frames.device.type, dtype=dtype, enabled=dtype != torch.float32),
    ):
        return encoder.frame_features(frames)


@torch.no_grad()
def _finish(
    encoder: VisualEncoder, features: Tensor, *, key: object, level: Level, dtype: torch.dtype
) -> np.ndarray:
    """Turn a clip's frame features (T, F) into what is kept of it, (T, D) float16."""
    if level == "sign":
        with torch.autocast(features.device.type, dtype=dtype, enabled=dtype != torch.float32):
            features = encoder.sign_features(features)
    largest = features.abs().max().item()  # NaN when any is
    if not largest <= FLOAT16_MAX:
        raise DataError(
            f"clip {key!r} must give features of at most {FLOAT16_MAX:.0f}, but the largest is {largest}."
        )
    return features.to(torch.float16).cpu().numpy()
