"""``.pose`` files, read by the package ``pose-format``."""

from pathlib import Path
from typing import Any

import numpy as np

from ..core.errors import ConfigError, DataError
from ..core.read_errors import READ_ERRORS
from .clip import PoseClip, make_clip
from .layouts import COCO_WHOLEBODY, MEDIAPIPE, OPENPOSE

_COMPONENTS = {
    MEDIAPIPE.name: ("POSE_LANDMARKS", "FACE_LANDMARKS", "LEFT_HAND_LANDMARKS", "RIGHT_HAND_LANDMARKS"),
    OPENPOSE.name: (
        "pose_keypoints_2d", "face_keypoints_2d", "hand_left_keypoints_2d", "hand_right_keypoints_2d",
    ),
    COCO_WHOLEBODY.name: ("BODY_133",),
}  # fmt: skip
"""Components of a file that make a layout, in the layout's order. Other components are left out."""


def read_pose(path: Path) -> PoseClip:
    """Return the key points of the first person in a ``.pose`` file.

    Raises:
        ConfigError: the package ``pose-format`` is not installed.
        DataError: the file is damaged, or has the components of no known layout.
    """
    try:
        from pose_format import Pose  # type: ignore[import-not-found]  # an extra
    except ImportError as error:
        raise ConfigError(
            f"{path} can be read by the package pose-format alone, which is not installed.\n"
            'Run: pip install "fla-llm[poses]"'
        ) from error
    try:
        pose: Any = Pose.read(path.read_bytes())
    except READ_ERRORS as error:
        raise DataError(f"{path} must be a whole .pose file, but: {error}") from error
    places = _places(pose.header.components)
    for layout, names in _COMPONENTS.items():
        if all(name in places for name in names):
            # A file may list the components in any order.
            chosen = np.concatenate([places[name] for name in names])
            return _clip(pose, chosen, layout=layout, path=path)
    known = "; ".join(", ".join(names) for names in _COMPONENTS.values())
    raise DataError(f"{path} must have the components {known}, but has {', '.join(places)}.")


def _places(components: Any) -> dict[str, np.ndarray]:
    """Return the places of the points of each component."""
    places: dict[str, np.ndarray] = {}
    start = 0
    for component in components:
        places[component.name] = np.arange(start, start + len(component.points))
        start += len(component.points)
    return places


def _clip(pose: Any, chosen: np.ndarray, *, layout: str, path: Path) -> PoseClip:
    dimensions = pose.header.dimensions
    # The masked points have a confidence of 0 too: the mask is not needed.
    points = np.ma.getdata(pose.body.data)[:, :, chosen, :2]
    return make_clip(
        points, np.asarray(pose.body.confidence)[:, :, chosen], origin=str(path), layout=layout,
        size=(dimensions.width, dimensions.height), fps=float(pose.body.fps),
    )  # fmt: skip
