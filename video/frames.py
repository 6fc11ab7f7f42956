"""Reading a clip's frames as squares: only the selected ones, or all of them."""

from collections.abc import Iterator, Sequence

import numpy as np

from ..core.errors import DataError
from .clip import Clip
from .decoding import Squarer, decode_frames
from .fit import Fit
from .folder import list_pictures, read_picture
from .probing import count_frames
from .sampling import FrameSampling, select_frames


def read_frames(
    clip: Clip, *, sampling: FrameSampling, phase: int = 0, size: int, fit: Fit = "crop"
) -> np.ndarray:
    """Decode a clip and keep the frames that ``sampling`` selects.

    Memory holds the kept frames and one decoded picture, however long the video.

    Shapes: T kept frames, S = ``size``.

    Args:
        clip: what to read.
        sampling: which frames are kept.
        phase: the first frame kept, in 0..stride-1.
        size: the square's side in pixels.
        fit: whether the middle is cut out or the picture stretched.

    Returns:
        Frames (T, S, S, 3), uint8, RGB; equal to ``decode_all(...)[select_frames(...)]``.

    Raises:
        DataError: the clip cannot be read to its end; it names the frame reached.
    """
    num_frames = count_frames(clip)
    indices = select_frames(num_frames, sampling=sampling, phase=phase)
    return _read(clip, indices, num_frames=num_frames, size=size, fit=fit)


def decode_all(clip: Clip, *, size: int, fit: Fit = "crop") -> np.ndarray:
    """Return every frame of a clip, uint8 (T, S, S, 3), with the geometry of :func:`read_frames`.

    Raises:
        DataError: the clip cannot be read to its end; it names the frame reached.
    """
    num_frames = count_frames(clip)
    return _read(clip, range(num_frames), num_frames=num_frames, size=size, fit=fit)


def _read(clip: Clip, indices: Sequence[int], *, num_frames: int, size: int, fit: Fit) -> np.ndarray:
    squares = _folder_squares if clip.path.is_dir() else _video_squares
    frames = np.empty((len(indices), size, size, 3), np.uint8)
    for place, square in enumerate(squares(clip, indices, num_frames=num_frames, size=size, fit=fit)):
        frames[place] = square
    return frames


def _folder_squares(
    clip: Clip, indices: Sequence[int], *, num_frames: int, size: int, fit: Fit
) -> Iterator[np.ndarray]:
    pictures = list_pictures(clip.path)
    for index in indices:
        yield read_picture(pictures[index], size=size, fit=fit)


def _video_squares(
    clip: Clip, indices: Sequence[int], *, num_frames: int, size: int, fit: Fit
) -> Iterator[np.ndarray]:
    """Decode to the end, past the last index too, so that a damaged file is refused at every phase."""
    wanted, to_square, reached = set(indices), Squarer(size=size, fit=fit), 0
    for index, frame in enumerate(decode_frames(clip)):
        reached = index + 1
        if index in wanted:
            yield to_square(frame)
    if reached != num_frames:
        raise DataError(
            f"{clip.path} must give {num_frames} frames, as many as it has packets, but gives {reached}.\n"
            "Write it anew, for instance: ffmpeg -i old.mp4 -c:v libx264 new.mp4"
        )
