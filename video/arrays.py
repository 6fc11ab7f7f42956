"""Frames that a program holds already: arrays, or frames that PyAV decoded."""

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from ..core.errors import DataError
from .clip import Clip
from .folder import square_of
from .geometry import ResizeMode, refuse_absurd_size
from .sampling import FrameSampling
from .timeline import choose_frames, even_timeline

if TYPE_CHECKING:
    from av.video.frame import VideoFrame

_NAME = Path("The given clip")
"""Stands for the path in errors."""


def select_from_arrays(
    frames: "np.ndarray | Sequence[np.ndarray | VideoFrame]",
    *,
    sampling: FrameSampling,
    fps: float | None = None,
    phase: int = 0,
    size: int,
    fit: ResizeMode = "crop",
) -> np.ndarray:
    """Return the frames selected by ``sampling``, with the geometry of a folder of pictures.

    Shapes: N frames, each of height H and width W; T selected frames, S = ``size``.

    Args:
        frames: upright RGB pictures (N, H, W, 3), uint8, or a sequence of pictures (H, W, 3) or of PyAV
            frames.
        sampling: stride or rate, and largest number of frames.
        fps: frames per second, needed where ``sampling.fps`` is set.
        phase: first selected frame. With ``sampling.fps``: shift of the sampling times.
        size: side of the square in pixels.
        fit: crop the middle, or stretch the picture.

    Returns:
        Frames (T, S, S, 3), uint8.

    Raises:
        DataError: there is no frame, or a frame has another shape or number format. Or ``sampling.fps`` is
            set and ``fps`` is None.
    """
    from PIL import Image

    if not len(frames):
        raise DataError(f"{_NAME} must have at least one frame, but has none.")
    timeline = even_timeline(Clip(path=_NAME, fps=fps), len(frames))
    chosen = choose_frames(timeline, sampling=sampling, phase=phase)
    pictures = (Image.fromarray(_picture(frames[index], index)) for index in chosen)
    return np.stack([square_of(picture, size=size, fit=fit) for picture in pictures])


def _picture(frame: "np.ndarray | VideoFrame", index: int) -> np.ndarray:
    """Return a frame as an array, checked."""
    array = frame if isinstance(frame, np.ndarray) else frame.to_ndarray(format="rgb24")
    if array.dtype != np.uint8 or array.ndim != 3 or array.shape[2] != 3 or not array.size:
        raise DataError(
            f"{_NAME} must have frames of shape (height, width, 3) and dtype uint8, but frame {index} has "
            f"shape {array.shape} and dtype {array.dtype}."
        )
    # The same limit as for files: a broken program must not fill the memory.
    refuse_absurd_size(_NAME, height=array.shape[0], width=array.shape[1])
    return array
