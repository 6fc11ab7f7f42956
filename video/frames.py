"""Read the selected frames of a clip, or all frames, as squares."""

from collections import Counter
from collections.abc import Iterator, Sequence
from itertools import islice, repeat

import numpy as np

from .clip import Clip
from .container import DamagedVideoError, open_video, pixel_aspect
from .counting import decoded_timeline
from .decoding import SquareResizer, decode_stream, refuse_lost_frames
from .folder import list_pictures, read_picture
from .geometry import ResizeMode
from .probing import count_frames, read_timeline
from .sampling import FrameSampling
from .timeline import choose_frames

FRAME_VERSION = 2
"""Version of the frames that a clip yields. Features of two versions may not share a shard.

2: sample aspect ratios and 16-bit pictures are honoured."""


def read_frames(
    clip: Clip,
    *,
    sampling: FrameSampling,
    phase: int = 0,
    size: int,
    fit: ResizeMode = "crop",
    keep_partial: bool = False,
) -> np.ndarray:
    """Decode a clip and return the frames selected by ``sampling``.

    Memory holds the selected frames, one decoded frame, and eight bytes for each frame of the file.

    Shapes: T selected frames, S = ``size``.

    Args:
        clip: the clip to read.
        sampling: stride or rate, and largest number of frames.
        phase: first selected frame, in 0..stride-1. With ``sampling.fps``: shift of the sampling times.
        size: side of the square in pixels.
        fit: crop the middle, or stretch the picture.
        keep_partial: keep the frames before the first decoding error of a damaged video. Frames are selected
            as if the clip ended there. The video is then decoded twice. Unreadable pictures of a folder are
            refused in either case.

    Returns:
        Frames (T, S, S, 3), uint8, RGB; equal to ``decode_all(...)[choose_frames(read_timeline(...), ...)]``.

    Raises:
        DataError: the clip cannot be read to the end (the message names the frame). With ``keep_partial``:
            not even one frame can be read. Or ``sampling.fps`` is set and the clip has no timestamps.
    """
    try:
        timeline = read_timeline(clip)
        indices = choose_frames(timeline, sampling=sampling, phase=phase)
        return _read(clip, indices, num_frames=timeline.num_frames, size=size, fit=fit)
    except DamagedVideoError:
        if not keep_partial:
            raise
    # The video is damaged: count the good frames by decoding, then select among these.
    timeline = decoded_timeline(clip, keep_partial=True)
    indices, num_frames = choose_frames(timeline, sampling=sampling, phase=phase), timeline.num_frames
    return _read(clip, indices, num_frames=num_frames, stop=num_frames, size=size, fit=fit)


def decode_all(clip: Clip, *, size: int, fit: ResizeMode = "crop") -> np.ndarray:
    """Return every frame of a clip, uint8 (T, S, S, 3), with the geometry of :func:`read_frames`.

    Raises:
        DataError: the clip cannot be read to the end. The message names the frame.
    """
    num_frames = count_frames(clip)
    return _read(clip, range(num_frames), num_frames=num_frames, size=size, fit=fit)


def _read(
    clip: Clip,
    indices: Sequence[int],
    *,
    num_frames: int,
    stop: int | None = None,
    size: int,
    fit: ResizeMode,
) -> np.ndarray:
    if clip.path.is_dir():
        squares = _folder_squares(clip, indices, size=size, fit=fit)
    else:
        squares = _video_squares(clip, indices, num_frames=num_frames, stop=stop, size=size, fit=fit)
    frames = np.empty((len(indices), size, size, 3), np.uint8)
    for place, square in enumerate(squares):
        frames[place] = square
    return frames


def _folder_squares(
    clip: Clip, indices: Sequence[int], *, size: int, fit: ResizeMode
) -> Iterator[np.ndarray]:
    pictures = list_pictures(clip.path)
    # A Counter keeps the order of the indices, which never decrease.
    for index, copies in Counter(indices).items():
        yield from repeat(read_picture(pictures[index], size=size, fit=fit), copies)


def _video_squares(
    clip: Clip, indices: Sequence[int], *, num_frames: int, stop: int | None, size: int, fit: ResizeMode
) -> Iterator[np.ndarray]:
    """Yield the squares of the frames at ``indices``, and decode at most ``stop`` frames.

    Without ``stop`` the video is decoded to the end, so that a damaged file is refused at every phase.
    """
    copies, reached = Counter(indices), 0
    with open_video(clip) as stream:
        resize = SquareResizer(size=size, fit=fit, pixel_aspect=pixel_aspect(stream))
        for index, frame in enumerate(islice(decode_stream(stream, clip), stop)):
            reached = index + 1
            if copies[index]:
                yield from repeat(resize(frame), copies[index])
    refuse_lost_frames(clip, expected=num_frames, found=reached)
