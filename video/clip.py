"""Clip: a video file or a folder of numbered pictures, whole or cut by seconds."""

import math
from dataclasses import dataclass
from pathlib import Path

from ..core.errors import DataError


@dataclass(frozen=True, kw_only=True)
class Clip:
    """Location of a clip. A cut selects the frames shown in [start_seconds, end_seconds)."""

    path: Path
    """A video file, or a folder of .png or .jpg frames."""
    start_seconds: float | None = None
    """Start of the cut, in seconds from the start of the stream. None: the first frame."""
    end_seconds: float | None = None
    """End of the cut, in seconds from the start of the stream. None: after the last frame."""
    fps: float | None = None
    """Frames per second of frames without timestamps (a folder of pictures, a bare H.264 stream). Timestamps
    of a video take precedence. None: unknown."""

    def __post_init__(self) -> None:
        start, end = self.start_seconds or 0.0, self.end_seconds
        if not math.isfinite(start) or start < 0:
            raise DataError(f"{self.path}: start must be 0 s or later, but is {start} s.")
        if end is not None and not (math.isfinite(end) and end > start):
            raise DataError(f"{self.path}: end must be later than start ({start} s), but is {end} s.")
        # nan is not below infinity, so this refuses nan too.
        if self.fps is not None and not 0 < self.fps < math.inf:
            raise DataError(f"{self.path}: fps must be a number above 0, but is {self.fps}.")

    @property
    def is_cut(self) -> bool:
        """Whether the clip is only a part of its file."""
        return self.start_seconds is not None or self.end_seconds is not None


@dataclass(frozen=True, kw_only=True)
class ClipInfo:
    """Number, rate and size of the frames of a clip, as shown: upright, with square pixels."""

    num_frames: int
    fps: float | None
    """Frames per second by the container. None: a folder of pictures, or a file without a frame rate."""
    height: int
    width: int
