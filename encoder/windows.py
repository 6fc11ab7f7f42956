"""Cut of a clip into the units of an encoder: single frames, or windows of frames."""

from dataclasses import dataclass

import torch
from torch import Tensor

from ..core.errors import ConfigError


@dataclass(frozen=True, kw_only=True)
class Windows:
    """Windows of ``frames`` frames at 0, ``stride``, 2 ``stride``, ..., until every frame is in a window.

    A window past the end of the clip repeats the last frame. Single frames are windows of one frame.
    """

    frames: int = 1
    """Frames of a window."""
    stride: int = 1
    """Frames from the beginning of one window to the next, at most ``frames``: no frame is skipped."""

    def __post_init__(self) -> None:
        if not 1 <= self.stride <= self.frames:
            raise ConfigError(f"window_stride must lie in 1..{self.frames}, but is {self.stride}.")

    def count(self, num_frames: int) -> int:
        """Return the number of windows in a clip.

        >>> [Windows(frames=16, stride=8).count(frames) for frames in (1, 16, 17, 24, 25)]
        [1, 1, 2, 2, 3]
        >>> Windows().count(7)
        7
        """
        # Windows after the first that are needed to cover the rest, rounded up.
        return 1 + max(0, -(-(num_frames - self.frames) // self.stride))

    def per_batch(self, frame_batch: int) -> int:
        """Return the number of windows in a batch of ``frame_batch`` frames.

        Raises:
            ConfigError: a window has more frames than the batch.
            ValueError: ``frame_batch`` is below 1.
        """
        if frame_batch < 1:
            raise ValueError(f"frame_batch must be at least 1, but is {frame_batch}.")
        if frame_batch < self.frames:
            raise ConfigError(
                f"frame_batch must be at least {self.frames}, the frames of one window, but is {frame_batch}."
            )
        return frame_batch // self.frames

    def rows(self, first: int, count: int, *, num_frames: int) -> slice | Tensor:
        """Return the frame numbers of ``count`` windows from the ``first``, window by window.

        >>> Windows(frames=4, stride=2).rows(1, 2, num_frames=7).tolist()
        [2, 3, 4, 5, 4, 5, 6, 6]
        """
        if self.frames == 1:  # a slice is a view, an index tensor would copy the frames
            return slice(first, first + count)
        # Frame numbers past the end of the clip become the last frame.
        starts = torch.arange(first, first + count)[:, None] * self.stride
        return (starts + torch.arange(self.frames)).clamp(max=num_frames - 1).flatten()
