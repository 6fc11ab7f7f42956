"""Movement of the hands in a clip of key points."""

import numpy as np

from .clip import PoseClip
from .layouts import SLICES


def hand_movement(clip: PoseClip, *, threshold: float) -> np.ndarray:
    """Return how far the points of both hands move from the frame before to each frame: (T,), float64.

    The unit is the height of the picture, or shares of width and height where the picture's size is unknown.
    A hand that is not seen in both frames does not move: hands at rest often leave the picture.

    Args:
        clip: key points of any layout.
        threshold: points with this score or less are missing.
    """
    hands = [clip.layout.chosen[place] for part in ("left", "right") for place in _places(part)]
    points = clip.points[:, hands].astype(np.float64) * [clip.aspect or 1.0, 1.0]
    seen = clip.scores[:, hands] > threshold
    both = seen[1:] & seen[:-1]
    distances = np.linalg.norm(np.diff(points, axis=0), axis=-1)
    # The mean over the seen points, 0 without any.
    moved = (distances * both).sum(1) / np.maximum(both.sum(1), 1)
    return np.concatenate([[0.0], moved])


def _places(part: str) -> range:
    own = SLICES[part]
    return range(own.start, own.stop)
