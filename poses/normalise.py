"""Normalisation of key points: the body in the box of the clip, hands and face around their own roots."""

from typing import Literal

import numpy as np

from ..core.errors import DataError
from .clip import PoseClip
from .layouts import SLICES

Normalisation = Literal["uni-sign", "isotropic"]
LEAST_POINTS = 4
"""Body points that a clip must show. Uni-Sign replaces a clip with fewer points by zeros."""
THRESHOLD = 0.3
"""Least score of visible points, the same in Uni-Sign and in the settings of the encoder."""
# Point of a part that becomes the origin: the wrist of a hand, the tip of the nose of the face.
_ROOTS = {"left": 0, "right": 0, "face": -1}


def normalise(clip: PoseClip, *, method: Normalisation, threshold: float) -> np.ndarray:
    """Return the 69 normalised points of a clip with their scores: (T, 69, 3), float32.

    The body is scaled by the larger side of the box around all body points of the clip, and moved so that the
    centre of the box is 0. Hands and face are relative to the wrist and the nose of each frame, and have the
    scale of the body. All values are clipped to -1..1. A missing point is (0, 0, 0).

    Args:
        clip: key points of any layout.
        method: ``uni-sign`` takes x as a share of the width and y as a share of the height, as published.
            ``isotropic`` measures x and y by the same unit.
        threshold: points with this score or less are missing.

    Raises:
        DataError: the clip shows no body, or the method is ``isotropic`` and the picture's size is unknown.

    Source: Uni-Sign, ``datasets.py``. There the box covers the frames that were drawn from a long clip, here
    all frames, so that a frame has the same points in every sample.
    """
    chosen = list(clip.layout.chosen)
    points, scores = clip.points[:, chosen], clip.scores[:, chosen]
    if method == "isotropic":
        # x in units of the height, like y.
        points = points * np.asarray([_aspect(clip), 1], np.float32)
    seen = scores > threshold
    low, high = _box(points[:, SLICES["body"]][seen[:, SLICES["body"]]])
    scale = float((high - low).max())
    found = np.empty((*scores.shape, 3), np.float32)
    found[..., 2] = scores
    found[:, SLICES["body"], :2] = (points[:, SLICES["body"]] - (low + high) / 2) * (2 / scale)
    for part, root in _ROOTS.items():
        own = points[:, SLICES[part]]
        found[:, SLICES[part], :2] = (own - own[:, [root]]) / scale
        # Without a root the places of a part say nothing. Detectors give hands as a whole or not at all.
        seen[:, SLICES[part]] &= scores[:, SLICES[part]][:, [root]] > 0
    np.clip(found, -1, 1, out=found)
    found[~seen] = 0
    return found


def _box(body: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return the corners of the box around the visible body points (N, 2)."""
    if len(body) < LEAST_POINTS:
        raise DataError(
            f"A clip must show at least {LEAST_POINTS} points of the body, but shows {len(body)}: "
            "the detector found no signer."
        )
    low, high = body.min(0), body.max(0)
    if not (high - low).max() > 0:
        raise DataError("A clip must show a body, but all points of the body lie in one place.")
    return low, high


def _aspect(clip: PoseClip) -> float:
    if clip.aspect is None:
        raise DataError(
            "The normalisation isotropic must know the width and height of the picture, but the pose file "
            "does not have them.\nAdd --set encoder.poses.normalisation=uni-sign"
        )
    return clip.aspect
