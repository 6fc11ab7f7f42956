"""Read the selected frames of a clip as whole pictures, for models that take any shape."""

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING

import numpy as np

from .clip import Clip
from .container import open_video, pixel_aspect
from .decoding import decode_stream, refuse_lost_frames
from .folder import list_pictures, upright_picture
from .geometry import orientation
from .probing import count_frames
from .sampling import FrameSampling, select_frames

if TYPE_CHECKING:
    from av.video.frame import VideoFrame
    from PIL.Image import Image


def read_pictures(clip: Clip, *, sampling: FrameSampling, longest_side: int) -> dict[int, np.ndarray]:
    """Decode a clip and return the selected frames, upright and uncropped, by frame number.

    Args:
        clip: the clip to read.
        sampling: stride and largest number of frames.
        longest_side: larger pictures are scaled down to this longer side, in pixels.

    Returns:
        Frame number -> picture (H, W, 3), uint8, RGB, with square pixels, in rising order.

    Raises:
        DataError: the clip cannot be read to its end. The message names the frame.
    """
    num_frames = count_frames(clip)
    indices = select_frames(num_frames, sampling=sampling)
    if clip.path.is_dir():
        files = list_pictures(clip.path)
        return {index: _from_picture(upright_picture(files[index]), longest_side) for index in indices}
    return dict(_video_pictures(clip, indices, num_frames=num_frames, longest_side=longest_side))


def stream_pictures(clip: Clip, *, longest_side: int) -> Iterator[np.ndarray]:
    """Decode a clip and yield every frame, upright and uncropped. One frame at a time is in memory.

    Args:
        clip: the clip to read.
        longest_side: larger pictures are scaled down to this longer side, in pixels.

    Yields:
        Pictures (H, W, 3), uint8, RGB, with square pixels.

    Raises:
        DataError: the clip cannot be read to its end. The message names the frame.
    """
    if clip.path.is_dir():
        yield from (_from_picture(upright_picture(file), longest_side) for file in list_pictures(clip.path))
        return
    num_frames = count_frames(clip)
    pictures = _video_pictures(clip, range(num_frames), num_frames=num_frames, longest_side=longest_side)
    yield from (picture for _, picture in pictures)


def limited_size(height: float, width: float, *, longest_side: int) -> tuple[int, int]:
    """Return the height and width of a picture whose longer side is at most ``longest_side``.

    >>> limited_size(720, 1280, longest_side=512), limited_size(260, 210, longest_side=512)
    ((288, 512), (260, 210))
    """
    scale = min(1.0, longest_side / max(height, width))
    return max(1, round(height * scale)), max(1, round(width * scale))


def _from_picture(picture: "Image", longest_side: int) -> np.ndarray:
    from PIL.Image import Resampling

    height, width = limited_size(picture.height, picture.width, longest_side=longest_side)
    # Pillow's BILINEAR averages all pixels when it shrinks a picture.
    return np.asarray(picture.resize((width, height), Resampling.BILINEAR))


def _video_pictures(
    clip: Clip, indices: Sequence[int], *, num_frames: int, longest_side: int
) -> Iterator[tuple[int, np.ndarray]]:
    wanted, reached = set(indices), 0
    with open_video(clip) as stream:
        aspect = pixel_aspect(stream)
        # The video is decoded to its end, so that a damaged file is refused at any stride.
        for index, frame in enumerate(decode_stream(stream, clip)):
            reached = index + 1
            if index in wanted:
                yield index, _from_frame(frame, aspect, longest_side)
    refuse_lost_frames(clip, expected=num_frames, found=reached)


def _from_frame(frame: "VideoFrame", aspect: float, longest_side: int) -> np.ndarray:
    from av.video.reformatter import Interpolation

    # AREA averages all pixels when it shrinks a frame, and one thread suffices beside a large model.
    height, width = limited_size(frame.height, frame.width * aspect, longest_side=longest_side)
    scaled = frame.reformat(
        width=width, height=height, format="rgb24", interpolation=Interpolation.AREA, threads=1
    )
    return np.ascontiguousarray(orientation(frame).set_upright(scaled.to_ndarray()))
