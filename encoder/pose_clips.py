"""Clips of an encoder of poses: a pose file, normalised and thinned."""

from pathlib import Path

import numpy as np

from ..core.errors import DataError
from ..poses.clip import PoseClip
from ..poses.normalise import normalise
from ..poses.reading import read_poses
from ..video.sampling import FrameSampling, select_frames
from .config import PoseConfig

POSE_VERSION = 1
"""Version of the key points that a pose file gives. Another version means other values."""


def read_normalised(path: Path, *, config: PoseConfig) -> np.ndarray:
    """Return the normalised key points of all frames of a pose file: (T, 69, 3), float32.

    Raises:
        DataError: the file cannot be read, or the clip shows no body. The error names the file.
    """
    return normalise_points(read_poses(path), config=config, origin=str(path))


def normalise_points(clip: PoseClip, *, config: PoseConfig, origin: str) -> np.ndarray:
    """Return the normalised key points of all frames of a clip: (T, 69, 3), float32.

    Raises:
        DataError: the clip shows no body. The error begins with ``origin``.
    """
    try:
        return normalise(clip, method=config.normalisation, threshold=config.threshold)
    except DataError as error:
        raise DataError(f"{origin}: {error}") from error


def thin_out(poses: np.ndarray, *, sampling: FrameSampling, phase: int, fps: float | None) -> np.ndarray:
    """Return the frames that the encoder looks at: (T, 69, 3) -> (T', 69, 3).

    Args:
        poses: all frames of a clip.
        sampling: choice of frames.
        phase: first chosen frame.
        fps: frames per second of the clip, for a target frame rate.
    """
    return poses[select_frames(len(poses), sampling=sampling, phase=phase, clip_fps=fps)]
