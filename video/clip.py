"""A clip: a video file or a folder of numbered pictures, whole or cut by seconds."""

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
    fps: float | None = None
    """Frames per second where the frames carry no times themselves (a folder of pictures, a bare H.264
    stream); a video's own times go before it. None: unknown."""

    def __post_init__(self) -> None:
        start, end = self.start_seconds or 0.0, self.end_seconds
        if not math.isfinite(start) or start < 0:
            raise DataError(f"{self.path}: start must be 0 s or later, but is {start} s.")
        if end is not None and not (math.isfinite(end) and end > start):
            raise DataError(f"{self.path}: end must be later than start ({start} s), but is {end} s.")
        if self.fps is not None and not 0 < self.fps < math.inf:
            raise DataError(f"{self.path}: fps must be a number above 0, but is {self.fps}.")

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
