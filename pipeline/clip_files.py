"""Files to translate: a video, or a pose file for an encoder of poses, by the recipe of the features."""

import math
from dataclasses import replace
from pathlib import Path

import numpy as np

from ..core.errors import DataError
from ..detect.clip import detect_video
from ..encoder.frozen import FrozenConfig
from ..encoder.pose_clips import normalise_points, thin_out
from ..poses.clip import PoseClip
from ..poses.motion import hand_movement
from ..poses.reading import SUFFIXES, read_poses
from ..video import Clip, DamagedVideoError, read_frames, read_timeline
from ..video.motion import measure_motion
from ..video.segments import Motion, SegmentConfig, find_segments
from .feature_recipe import FeatureRecipe


class ClipReader:
    """Reads clips as the features of a run were made. A clip may be a part of its file."""

    def __init__(self, config: FrozenConfig, recipe: FeatureRecipe) -> None:
        """Take the settings of the encoder, and the recipe of the features."""
        self._config, self._recipe = config, recipe
        self._last: tuple[Path, PoseClip] | None = None

    def __call__(self, clip: Clip) -> np.ndarray:
        """Return the selected frames (T, S, S, 3), uint8, or the selected key points (T, 69, 3), float32.

        Raises:
            DataError: the file cannot be read, shows no body, or lacks a frame rate that the recipe or a cut
                needs.
        """
        config, recipe = self._config, self._recipe
        if config.medium == "poses":
            return self._key_points(clip)
        return read_frames(
            clip, sampling=recipe.sampling, phase=recipe.phase, size=config.resize_size, fit=config.fit,
            keep_partial=recipe.keep_partial,
        )  # fmt: skip

    def segments(self, path: Path, how: SegmentConfig) -> list[Clip]:
        """Return the segments of a file. A video is read in a stream, and never held as a whole.

        Raises:
            DataError: the file cannot be read, or has no times: a folder of pictures, a bare stream, a pose
                file without a frame rate.
        """
        spans = find_segments(self._motion(path, how), how)
        return [Clip(path=path, start_seconds=max(start, 0.0), end_seconds=end) for start, end in spans]

    def _motion(self, path: Path, how: SegmentConfig) -> Motion:
        if self._config.medium == "poses":
            return self._pose_motion(path)
        if path.is_dir():
            raise DataError(
                f"{path} must be a video file to be divided into segments, but is a folder of pictures, which"
                " have no times."
            )
        if how.method == "pauses":
            return measure_motion(Clip(path=path), keep_partial=self._recipe.keep_partial)
        try:
            # Windows need times alone, and packets have these: nothing is decoded.
            timeline = read_timeline(Clip(path=path))
        except DamagedVideoError:
            if not self._recipe.keep_partial:
                raise
            return measure_motion(Clip(path=path), keep_partial=True)
        if timeline.times is None:
            raise DataError(f"{path} carries no times, so it cannot be divided into segments.")
        return Motion(times=timeline.times, end_seconds=timeline.end_seconds)

    def _pose_motion(self, path: Path) -> Motion:
        poses, fps = self._poses(path), self._rate(path)
        assert self._config.poses is not None, "the medium is poses"
        return Motion(
            times=[number / fps for number in range(len(poses))],
            end_seconds=len(poses) / fps,
            energies=hand_movement(poses, threshold=self._config.poses.threshold).tolist(),
        )

    def _key_points(self, clip: Clip) -> np.ndarray:
        poses, recipe = self._poses(clip.path), self._recipe
        assert self._config.poses is not None, "the medium is poses"
        fps = None
        # A manifest would know the frame rate of a clip. Here the file alone can.
        if recipe.sampling.fps is not None or clip.is_cut:
            fps = self._rate(clip.path)
        if clip.is_cut and fps is not None:
            # A frame belongs to the part in which it begins. Seconds times rate is not exact, so the place is
            # rounded up from a little less.
            start, end = clip.start_seconds or 0.0, clip.end_seconds or len(poses) / fps
            kept = slice(math.ceil(start * fps - 1e-6), math.ceil(end * fps - 1e-6))
            poses = replace(poses, points=poses.points[kept], scores=poses.scores[kept])
        found = normalise_points(poses, config=self._config.poses, origin=str(clip.path))
        return thin_out(found, sampling=recipe.sampling, phase=recipe.phase, fps=fps)

    def _rate(self, path: Path) -> float:
        fps = self._poses(path).fps
        if fps is None:
            raise DataError(f"{path} must have a frame rate to be sampled or cut by time, but has none.")
        return fps

    def _poses(self, path: Path) -> PoseClip:
        # The segments of a file follow one another: the file is read once.
        if self._last is None or self._last[0] != path:
            # A video goes through the detector first.
            self._last = (path, self._read_poses(path))
        return self._last[1]

    def _read_poses(self, path: Path) -> PoseClip:
        if path.suffix in SUFFIXES:
            return read_poses(path)
        return detect_video(path, known=self._recipe.detectors)
