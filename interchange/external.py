"""Clips of other code: inspect the shape and number format, then read the features as float16."""

import zlib
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from ..cache.format import CacheRow
from ..core.errors import DataError
from .array_files import OpenedArray, check_dtype


@dataclass(frozen=True, kw_only=True)
class ExternalClip:
    """A clip whose features lie in somebody's file."""

    row: CacheRow
    """Record of the clip in the cache. Without a manifest, ``num_frames`` is T."""
    open: Callable[[], OpenedArray]
    """Function that opens the features, or raises a DataError."""
    crc32: int | None = None
    """Checksum of the float16 features, where the source has checksums."""


def inspect_clip(clip: ExternalClip) -> tuple[int, int, str]:
    """Return T, D and the number format of a clip's features, without reading the features.

    Raises:
        DataError: the file cannot be opened, or holds no (T, D) features.
    """
    array, dtype = clip.open()
    # Some extractors keep a batch axis of one clip.
    shape = array.shape[1:] if array.ndim == 3 and array.shape[0] == 1 else array.shape
    if len(shape) != 2 or 0 in shape:
        raise DataError(f"Its features must be (T, D), T and D at least 1, but are {array.shape}.")
    check_dtype(dtype)
    return shape[0], shape[1], dtype


def read_float16(clip: ExternalClip, *, width: int) -> np.ndarray:
    """Return the features (T, D) of a clip as float16, where D must be ``width``.

    Raises:
        DataError: the file cannot be opened, D differs from ``width``, a value is NaN, infinite or too large
            for float16, or the features have another checksum.
    """
    # The file may have changed since the plan was made.
    num_steps, found, _ = inspect_clip(clip)
    if found != width:
        raise DataError(f"Its features must be {width} wide, as in the first pass, but are {found} wide now.")
    features = clip.open()[0].reshape(num_steps, width)
    if not np.isfinite(features).all():
        raise DataError("Its features hold NaN or infinity.")
    # Overflow becomes infinity, which the next check names with the largest number.
    with np.errstate(over="ignore", under="ignore"):
        half = features.astype(np.float16)
    if not np.isfinite(half).all():
        raise DataError(
            "Its features must fit into float16, at most 65504 in size, but reach "
            f"{np.abs(features).max():g}.\nScale them."
        )
    if clip.crc32 is not None and zlib.crc32(half.tobytes()) != clip.crc32:
        raise DataError(
            "Its features must be those that were exported, but have another checksum.\n"
            "To import features that you changed, delete export.json and name them with --encoder."
        )
    return half
