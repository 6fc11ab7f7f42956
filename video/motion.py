"""Movement of a video, measured in a stream: memory holds one decoded frame and twelve bytes per frame."""

from array import array
from typing import TYPE_CHECKING

import numpy as np

from ..core.errors import DataError
from .clip import Clip
from .container import DamagedVideoError, open_video, presentation_seconds, time_base
from .decoding import decode_stream, refuse_lost_frames
from .probing import count_frames
from .segments import Motion

if TYPE_CHECKING:
    from av.video.frame import VideoFrame

SIDE_PIXELS = 32
"""Side of the grey picture of a frame. A smaller picture averages the noise of the camera away."""


def measure_motion(clip: Clip, *, keep_partial: bool = False) -> Motion:
    """Decode a video and return the mean change of brightness from frame to frame, in 0..1.

    Args:
        clip: a video file.
        keep_partial: end before the first decoding error, if at least one frame precedes the error.

    Raises:
        DataError: the video cannot be read, or has no timestamps.
        DamagedVideoError: the video is cut off or a frame cannot be decoded, and ``keep_partial`` is off or
            no frame precedes the fault.
    """
    if keep_partial:
        return _measure(clip, keep_partial=True)
    # A file that is cut off between two frames decodes without an error: its packets are counted first.
    expected = count_frames(clip)
    found = _measure(clip, keep_partial=False)
    refuse_lost_frames(clip, expected=expected, found=len(found.times))
    return found


def _measure(clip: Clip, *, keep_partial: bool) -> Motion:
    times, energies = array("d"), array("f")
    end = 0.0
    before: np.ndarray | None = None
    try:
        with open_video(clip) as stream:
            grey = _GreyPictures()
            for frame in decode_stream(stream, clip):
                seconds = presentation_seconds(frame, stream)
                if seconds is None:
                    raise DataError(f"{clip.path} carries no times, so it cannot be divided into segments.")
                picture = grey(frame)
                # Nothing is known of the movement before the first frame.
                energies.append(0.0 if before is None else float(np.abs(picture - before).mean()) / 255)
                times.append(max(seconds, times[-1] if times else 0.0))
                end = times[-1] + float((frame.duration or 0) * time_base(stream))
                before = picture
    except DamagedVideoError:
        if not keep_partial or not times:
            raise
    if not times:
        raise DataError(f"{clip.path} must hold frames, but has none.")
    # Files without durations: the last frame lasts as long as the mean frame.
    gap = (times[-1] - times[0]) / max(len(times) - 1, 1)
    return Motion(times=times, end_seconds=max(end, times[-1] + gap), energies=energies)


class _GreyPictures:
    """Small grey pictures of frames, by one scaler for all frames."""

    def __init__(self) -> None:
        from av.video.reformatter import VideoReformatter

        self._scaler = VideoReformatter()

    def __call__(self, frame: "VideoFrame") -> np.ndarray:
        from av.video.reformatter import Interpolation

        small = self._scaler.reformat(
            frame, width=SIDE_PIXELS, height=SIDE_PIXELS, format="gray", interpolation=Interpolation.AREA,
            threads=1,
        )  # fmt: skip
        # Signed, so that a difference of bytes does not wrap around.
        return small.to_ndarray().astype(np.int16)
