"""Clips below a path: a video, a folder of frames, or a folder of both."""

import logging
from pathlib import Path

from ..core.errors import DataError
from .folder import SUFFIXES
from .picture_order import in_natural_order

logger = logging.getLogger(__name__)

VIDEO_SUFFIXES = (
    ".3gp", ".asf", ".avi", ".flv", ".h264", ".hevc", ".m2ts", ".m4v", ".mkv", ".mov", ".mp4", ".mpeg",
    ".mpg", ".mts", ".mxf", ".ogv", ".ts", ".vob", ".webm", ".wmv",
)  # fmt: skip
"""Endings that tell a video from other files of a folder; a video named by its own path may end otherwise."""


def list_clips(path: Path) -> list[Path]:
    """Return the clips that a path stands for.

    A folder with pictures is one clip, whose frames they are. Of any other folder the videos and the folders
    with pictures are the clips, in natural order (2.mp4 before 10.mp4). Hidden files are passed over, other
    files and folders are named on standard error. Any path that is no folder is one clip.

    Raises:
        DataError: the folder cannot be read, holds no clip, or holds pictures and videos.
    """
    if not path.is_dir():
        return [path]
    entries = _entries(path)
    videos = [entry for entry in entries if entry.suffix.lower() in VIDEO_SUFFIXES and not entry.is_dir()]
    if any(map(_is_picture, entries)):
        if videos:
            raise DataError(
                f"{path} must hold pictures (the frames of one clip) or videos, but holds both, such as "
                f"{videos[0].name}.\nName the videos one by one."
            )
        return [path]
    clips = [
        *videos,
        *(entry for entry in entries if entry.is_dir() and any(map(_is_picture, _entries(entry)))),
    ]
    if not clips:
        raise DataError(
            f"{path} must hold videos ({' '.join(VIDEO_SUFFIXES)}) or pictures "
            f"({' '.join(SUFFIXES)}), but has none.\nName a video with another ending by its own path."
        )
    for other in sorted(set(entries) - set(clips)):
        logger.warning(f"{other} is passed over: it is neither a video nor a folder of pictures.")
    return in_natural_order(clips)


def _entries(folder: Path) -> list[Path]:
    try:
        return [entry for entry in folder.iterdir() if not entry.name.startswith(".")]
    except OSError as error:
        raise DataError(f"{folder} cannot be read: {error.strerror}") from error


def _is_picture(path: Path) -> bool:
    return path.suffix.lower() in SUFFIXES and not path.is_dir()
