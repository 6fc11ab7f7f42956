"""Inspect a clip without decoding all frames: number, times, rate and size."""

from ..core.errors import DataError
from .clip import Clip, ClipInfo
from .counting import video_timeline
from .decoding import first_frame
from .folder import first_size, list_pictures
from .timeline import Timeline, even_timeline


def count_frames(clip: Clip) -> int:
    """Return the number of frames, at least 1.

    Packets are counted, since a header may declare frames that are missing.

    Raises:
        DataError: the video does not exist, is unreadable, is cut off or has no frames, or the clip is a cut
            beyond the end.
    """
    return read_timeline(clip).num_frames


def read_timeline(clip: Clip) -> Timeline:
    """Return the number and the times of the frames of a clip.

    Raises:
        DataError: the clip cannot be counted (:func:`count_frames`).
    """
    if clip.path.is_dir():
        _refuse_cut_folder(clip)
        return even_timeline(clip, len(list_pictures(clip.path)))
    return video_timeline(clip)


def probe(clip: Clip) -> ClipInfo:
    """Return number, rate and size of the frames of a clip. Only the first frame is decoded.

    Raises:
        DataError: the clip cannot be counted (:func:`count_frames`), or the first frame cannot be decoded.
    """
    num_frames = count_frames(clip)
    if clip.path.is_dir():
        height, width = first_size(clip.path)
        return ClipInfo(num_frames=num_frames, fps=None, height=height, width=width)
    frame = first_frame(clip)
    return ClipInfo(num_frames=num_frames, fps=frame.fps, height=frame.height, width=frame.width)


def _refuse_cut_folder(clip: Clip) -> None:
    if clip.is_cut:
        raise DataError(
            f"{clip.path} is a folder of pictures and has no times, but is to be cut"
            f" from {clip.start_seconds} to {clip.end_seconds} s.\nLeave the times out."
        )
