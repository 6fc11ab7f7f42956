"""Key points of one clip, found by a detector."""

import logging
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np

from ..core.errors import ConfigError, DataError
from ..poses.array_files import read_npz, write_npz
from ..poses.clip import PoseClip, make_clip
from ..poses.detector import PoseDetector
from ..video.clip import Clip
from ..video.decoding import first_frame
from ..video.pictures import stream_pictures
from .config import DetectConfig
from .detector import Detector
from .environment import default_environment
from .kinds import MEDIAPIPE, DetectorKind
from .local import LocalDetector

logger = logging.getLogger(__name__)


def find_key_points(
    clip: Clip, detector: Detector, *, kind: DetectorKind, config: DetectConfig, fps: float | None
) -> tuple[PoseClip, tuple[int, int]]:
    """Return the key points of every frame of a clip, and the width and height of the pictures in pixels.

    One picture at a time is in memory.

    Args:
        clip: a video file or a folder of pictures, or a part of a video.
        detector: detector that no other thread uses.
        kind: kind of the detector.
        config: settings.
        fps: frames per second of the clip. None: unknown.

    Raises:
        DataError: the clip cannot be read to its end, or the detector failed.
    """
    points, size = list[np.ndarray](), (1, 1)
    detector.begin_clip()
    for picture in stream_pictures(clip, longest_side=config.longest_side):
        size = (picture.shape[1], picture.shape[0])
        points.append(detector.find(picture))
    found = np.stack(points)
    # Shares of the sides, which do not depend on the size of the picture.
    poses = make_clip(found[..., :2], found[..., 2], origin=str(clip.path), layout=kind.layout.name, fps=fps)
    layout = config.layout_of(kind)
    if layout != kind.layout:
        chosen = list(kind.layout.chosen)
        poses = replace(poses, points=poses.points[:, chosen], scores=poses.scores[:, chosen], layout=layout)
    return poses, size


def detect_video(path: Path, *, known: Sequence[PoseDetector] = ()) -> PoseClip:
    """Return the key points of a video file, by MediaPipe in the usual environment with default settings.

    The detector is started for this video, and ended behind it.

    Args:
        path: a video file.
        known: detectors of the key points that a model was trained on. Empty: unknown.

    Raises:
        ConfigError: the environment does not exist, the detector does not start, or the model knows other
            detectors alone.
        DataError: the path is no video file, the video cannot be read, or the detector failed.
    """
    if not path.is_file():
        raise DataError(f"{path} must be a pose file or a video file, but is none.")
    config, clip = DetectConfig(), Clip(path=path)
    # A damaged video is told before a missing environment.
    fps = first_frame(clip).fps
    local = LocalDetector(kind=MEDIAPIPE, environment=default_environment(MEDIAPIPE))
    detector = local.start(config)
    try:
        _compare(local.found_by(detector.versions), known)
        poses, size = find_key_points(clip, detector, kind=MEDIAPIPE, config=config, fps=fps)
    finally:
        detector.close()
    # By way of a file, which rounds: the features are then those of a pose file, to the last bit.
    with TemporaryDirectory() as folder:
        write_npz(file := Path(folder) / "clip.npz", poses, size=size)
        return read_npz(file)


def _compare(own: PoseDetector, known: Sequence[PoseDetector]) -> None:
    """Refuse another detector than those of training, and warn of another version."""
    if not known or own in known:
        return
    trained = " and ".join(sorted(str(one) for one in known))
    # The points of another detector lie elsewhere: a model would say something wrong without any sign of it.
    if not any(own.is_like(one) for one in known):
        raise ConfigError(
            f"A video must go through the detector of training, {trained}, but goes through {own} here.\n"
            "Write a pose file with that detector, and translate the pose file: fla poses --detector "
            f"{known[0].name}"
        )
    logger.warning(f"The key points of training are from {trained}, those of the video from {own}.")
