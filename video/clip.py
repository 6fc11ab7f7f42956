"""A clip: a video file or a folder of numbered pictures, whole or cut by seconds; and what one can ask of it.

Nothing is decoded or imported until a function is called: other rooms pass clips about freely.
"""

import math
from dataclasses import dataclass
from pathlib import Path

from ..core.errors import DataError


@dataclass(frozen=True, kw_only=True)
class Clip:
    """Where a clip's pictures lie. A cut takes the frames shown in [start_seconds, end_seconds)."""

    path: Path
    """A video file, or a folder of .png or .jpg frames."""
    start_seconds: float | None = None
    """Seconds from the stream's beginning, by the file's own clock; None: from the first frame."""
    end_seconds: float | None = None
    """Seconds from the stream's beginning, by the file's own clock; None: to the last frame."""

    def __post_init__(self) -> None:
        start, end = self.start_seconds or 0.0, self.end_seconds
        if not math.isfinite(start) or start < 0:
            raise DataError(f"{self.path}: start must be 0 s or later, but is {start} s.")
        if end is not None and not (math.isfinite(end) and end > start):
            raise DataError(f"{self.path}: end must be later than start ({start} s), but is {end} s.")

    @property
    def is_cut(self) -> bool:
        """True when only a part of the file is meant."""
        return self.start_seconds is not None or self.end_seconds is not None


@dataclass(frozen=True, kw_only=True)
class ClipInfo:
    """What a clip holds, as it is shown: turned upright where the file says so."""

    num_frames: int
    fps: float | None
    """Frames per second from the container; None for a folder of pictures, or where the file is silent."""
    height: int
    width: int


def count_frames(clip: Clip) -> int:
    """Return the number of frames, at least 1, without decoding them.

    A video's packets are counted, not believed: a header may promise frames that are not there.

    Raises:
        DataError: no such video, unreadable, cut off, no frames, or times beyond its end.
    """
    from .counting import count_video_frames
    from .folder import list_pictures

    if clip.path.is_dir():
        _refuse_cut_folder(clip)
        return len(list_pictures(clip.path))
    return count_video_frames(clip)


def probe(clip: Clip) -> ClipInfo:
    """Return what a clip holds; of a video's pictures only the first is decoded.

    Raises:
        DataError: as :func:`count_frames`; also a codec or picture size that cannot be decoded.
    """
    from .decoding import first_picture
    from .folder import first_size

    num_frames = count_frames(clip)
    if clip.path.is_dir():
        height, width = first_size(clip.path)
        return ClipInfo(num_frames=num_frames, fps=None, height=height, width=width)
    picture = first_picture(clip)
    return ClipInfo(num_frames=num_frames, fps=picture.fps, height=picture.height, width=picture.width)


def _refuse_cut_folder(clip: Clip) -> None:
    if clip.is_cut:
        raise DataError(
            f"{clip.path} is a folder of pictures and has no times, but is to be cut"
            f" from {clip.start_seconds} to {clip.end_seconds} s.\nLeave the times out."
        )
