"""Key points of a clip, as all readers return them."""

from dataclasses import dataclass
from typing import Any

import numpy as np

from ..core.errors import DataError
from .layouts import Layout, find_layout


@dataclass(frozen=True, kw_only=True)
class PoseClip:
    """Key points of the signer in a clip.

    Shapes: T frames, P points of the layout.
    """

    points: np.ndarray
    """Places (T, P, 2), float32: x as a share of the picture's width, y of the height. 0 where missing."""
    scores: np.ndarray
    """Confidences of the detector (T, P), float32. 0: the point is missing."""
    layout: Layout
    aspect: float | None = None
    """Width of the picture divided by the height. None: unknown."""
    fps: float | None = None
    """Frames per second. None: unknown."""

    def __len__(self) -> int:
        """Return the number of frames."""
        return len(self.points)


def make_clip(
    points: Any,
    scores: Any,
    *,
    origin: str,
    layout: str | None = None,
    size: tuple[float, float] | None = None,
    fps: float | None = None,
) -> PoseClip:
    """Check arrays of a file and return the clip of the first person.

    Args:
        points: (T, P, 2) or (T, persons, P, 2), in pixels if ``size`` is given, else as shares.
        scores: (T, P) or (T, persons, P).
        origin: the file, for errors.
        layout: name of the layout. None: the number of points decides.
        size: width and height of the picture in pixels. None: unknown.
        fps: frames per second. None: unknown.

    Raises:
        DataError: a shape, the size or the frame rate is wrong, or there is no frame.
    """
    points, scores = _numbers(points, origin), _numbers(scores, origin)
    if points.ndim == 4 and scores.ndim == 3 and points.shape[1] and scores.shape[1]:
        points, scores = points[:, 0], scores[:, 0]  # detectors list the largest person first
    if points.ndim != 3 or points.shape[2] != 2 or points.shape[:2] != scores.shape or not points.size:
        raise DataError(
            f"{origin} must hold points (frames, points, 2) with scores (frames, points), or the same of "
            f"several persons, but holds {points.shape} and {scores.shape}."
        )
    _check_positive(origin, size=size, fps=fps)
    if size is not None:
        # Shares do not depend on the resolution of the video.
        points = points / np.asarray(size, points.dtype)
    found = find_layout(points.shape[1], name=layout, origin=origin)
    # NaN marks missing points in some files, and would pass every comparison with a threshold.
    is_number = np.isfinite(points).all(-1) & np.isfinite(scores)
    return PoseClip(
        points=np.where(is_number[..., None], points, 0).astype(np.float32),
        scores=np.where(is_number, scores, 0).astype(np.float32),
        layout=found,
        aspect=None if size is None else size[0] / size[1],
        fps=fps,
    )


def _numbers(values: Any, origin: str) -> np.ndarray:
    array = np.asarray(values)
    if array.dtype.kind not in "fiu":
        raise DataError(f"{origin} must hold numbers, but holds {array.dtype}.")
    # Integers and float16 would lose digits in the division by the size.
    return array.astype(np.float64)


def _check_positive(origin: str, **values: Any) -> None:
    for name, value in values.items():
        if value is not None and not (np.isfinite(value).all() and np.all(np.asarray(value) > 0)):
            raise DataError(f"{origin}: {name} must be above 0, but is {value}.")
