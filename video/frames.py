"""Reading a clip's frames as squares: only the selected ones, or all of them."""

from collections import Counter
from collections.abc import Iterator, Sequence
from itertools import islice, repeat

import numpy as np

from .clip import Clip
from .container import DamagedVideoError, open_video, pixel_aspect
from .counting import decoded_timeline
from .decoding import Squarer, decode_stream
from .fit import Fit
from .folder import list_pictures, read_picture
from .probing import count_frames, read_timeline
from .sampling import FrameSampling
from .timeline import choose_frames

FRAME_VERSION = 2
"""Rises whenever the same clip and settings give other frames: features of both must not meet in one shard.
2: pixels that are not square and pictures of 16 bits are honoured."""


def read_frames(
    clip: Clip,
    *,
    sampling: FrameSampling,
    phase: int = 0,
    size: int,
    fit: Fit = "crop",
    keep_partial: bool = False,
) -> np.ndarray:
    """Decode a clip and keep the frames that ``sampling`` selects.

    Memory holds the kept frames, one decoded picture and eight bytes a frame of the file, however long the
    video.

    Shapes: T kept frames, S = ``size``.

    Args:
        clip: what to read.
        sampling: which frames are kept.
        phase: in 0..stride-1: the first frame kept; with ``sampling.fps`` the shift of the moments.
        size: the square's side in pixels.
        fit: whether the middle is cut out or the picture stretched.
        keep_partial: of a video that is cut off or cannot be decoded to its end, give the frames before the
            first fault. They are selected as if the clip ended there, whatever its header declares; for
            that it is decoded twice. (A picture of a folder that cannot be read is refused all the same.)

    Returns:
        Frames (T, S, S, 3), uint8, RGB; equal to ``decode_all(...)[choose_frames(read_timeline(...), ...)]``.

    Raises:
        DataError: the clip cannot be read to its end (it names the frame reached), or, with
            ``keep_partial``, not even a first frame of it; or ``sampling.fps`` is set and the clip has no
            times.
    """
    try:
        timeline = read_timeline(clip)
        indices = choose_frames(timeline, sampling=sampling, phase=phase)
        return _read(clip, indices, num_frames=timeline.num_frames, size=size, fit=fit)
    except DamagedVideoError:
        if not keep_partial:
            raise
    timeline = decoded_timeline(clip, keep_partial=True)
    indices, num_frames = choose_frames(timeline, sampling=sampling, phase=phase), timeline.num_frames
    return _read(clip, indices, num_frames=num_frames, stop=num_frames, size=size, fit=fit)


def decode_all(clip: Clip, *, size: int, fit: Fit = "crop") -> np.ndarray:
    """Return every frame of a clip, uint8 (T, S, S, 3), with the geometry of :func:`read_frames`.

    Raises:
        DataError: the clip cannot be read to its end; it names the frame reached.
    """
    num_frames = count_frames(clip)
    return _read(clip, range(num_frames), num_frames=num_frames, size=size, fit=fit)


def _read(
    clip: Clip, indices: Sequence[int], *, num_frames: int, stop: int | None = None, size: int, fit: Fit
) -> np.ndarray:
    if clip.path.is_dir():
        squares = _folder_squares(clip, indices, size=size, fit=fit)
    else:
        squares = _video_squares(clip, indices, num_frames=num_frames, stop=stop, size=size, fit=fit)
    frames = np.empty((len(indices), size, size, 3), np.uint8)
    for place, square in enumerate(squares):
        frames[place] = square
    return frames


def _folder_squares(clip: Clip, indices: Sequence[int], *, size: int, fit: Fit) -> Iterator[np.ndarray]:
    pictures = list_pictures(clip.path)
    for index, copies in Counter(indices).items():  # in the order given, which never decreases
        yield from repeat(read_picture(pictures[index], size=size, fit=fit), copies)


def _video_squares(
    clip: Clip, indices: Sequence[int], *, num_frames: int, stop: int | None, size: int, fit: Fit
) -> Iterator[np.ndarray]:
    """Decode to the end, past the last index too, so that a damaged file is refused at every phase.

    Only where a fault is known is decoding stopped before it, after ``stop`` frames.
    """
    copies, reached = Counter(indices), 0
    with open_video(clip) as stream:
        to_square = Squarer(size=size, fit=fit, pixel_aspect=pixel_aspect(stream))
        for index, frame in enumerate(islice(decode_stream(stream, clip), stop)):
            reached = index + 1
            if copies[index]:
                yield from repeat(to_square(frame), copies[index])
    if reached != num_frames:
        raise DamagedVideoError(
            f"{clip.path} must give {num_frames} frames, as many as it has packets, but gives {reached}.\n"
            "Write it anew, for instance: ffmpeg -i old.mp4 -c:v libx264 new.mp4"
        )
