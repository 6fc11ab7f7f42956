"""Files to translate: a video, or a pose file for an encoder of poses, by the recipe of the features."""

from pathlib import Path

import numpy as np

from ..core.errors import DataError
from ..encoder.config import EncoderConfig
from ..encoder.pose_clips import read_normalised, thin_out
from ..poses.reading import read_poses
from ..video import Clip, read_frames
from .feature_recipe import FeatureRecipe


def read_clip(path: Path, config: EncoderConfig, recipe: FeatureRecipe) -> np.ndarray:
    """Return the selected frames (T, S, S, 3), uint8, or the selected key points (T, 69, 3), float32.

    Raises:
        DataError: the file cannot be read, shows no body, or lacks a frame rate that the recipe needs.
    """
    if config.medium == "poses":
        return _read_pose_file(path, config, recipe)
    return read_frames(
        Clip(path=path), sampling=recipe.sampling, phase=recipe.phase, size=config.resize_size,
        fit=config.fit, keep_partial=recipe.keep_partial,
    )  # fmt: skip


def _read_pose_file(path: Path, config: EncoderConfig, recipe: FeatureRecipe) -> np.ndarray:
    fps = None
    # A manifest would know the frame rate of a clip. Here the file alone can.
    if recipe.sampling.fps is not None and (fps := read_poses(path).fps) is None:
        raise DataError(f"{path} must have a frame rate to be sampled by time, but has none.")
    poses = read_normalised(path, config=config.poses)
    return thin_out(poses, sampling=recipe.sampling, phase=recipe.phase, fps=fps)
