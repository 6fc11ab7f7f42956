"""Packing of clips into full batches: single frames, or windows of frames, one clip behind the other."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Generic, TypeVar

import numpy as np
import torch
from torch import Tensor

from ..video.transforms import centre_crop
from .windows import Windows

K = TypeVar("K")


@dataclass(frozen=True)
class UnitSpan(Generic[K]):
    """Consecutive units of a clip in a batch."""

    key: K
    """The clip's key."""
    count: int
    """Number of units."""
    is_last: bool
    """Whether the clip ends with this span."""


class BatchPacker(Generic[K]):
    """Packs a stream of clips into batches of one size, in order. The last batch is filled up with zeros.

    Overlapping windows are cut while a batch is filled: no clip is ever held as all its windows.
    """

    def __init__(
        self,
        *,
        size: int,
        frame_batch: int,
        windows: Windows,
        filled: int = 0,
        new_batch: Callable[[], Tensor] | None = None,
    ) -> None:
        """Begin with an empty batch.

        Shapes: N frames in a batch, as many of ``frame_batch`` as make whole windows.

        Args:
            size: side in pixels of the frames that the encoder takes.
            frame_batch: frames in a batch, at most.
            windows: the cut of clips into units.
            filled: units of zeros at the beginning of the first batch.
            new_batch: returns the tensor to fill (N, 3, size, size), uint8, zero where nothing was written
                yet. None: a new tensor every time.

        Raises:
            ConfigError: a window has more frames than a batch.
            ValueError: ``frame_batch`` is below 1, or ``filled`` leaves no room.
        """
        self._size, self._windows = size, windows
        self._room = windows.per_batch(frame_batch)
        if not 0 <= filled < self._room:
            raise ValueError(f"filled must lie in 0..{self._room - 1}, but is {filled}.")
        self._new_batch = new_batch or (lambda: blank_frames(self._room * windows.frames, size))
        self._batch, self._spans, self._filled = self._new_batch(), list[UnitSpan[K]](), filled

    def add(self, key: K, frames: np.ndarray) -> Iterator[tuple[Tensor, list[UnitSpan[K]]]]:
        """Pack a clip and yield each batch that becomes full, before the next batch is begun.

        Args:
            key: the clip's key.
            frames: the clip (T, H, W, 3), uint8; the centre is taken.

        Yields:
            Frames (N, 3, size, size), uint8, and the spans of clips, in order, behind the ``filled`` units.

        Raises:
            ValueError: the clip has no frames, or frames smaller than ``size``.
        """
        if len(frames) == 0:
            raise ValueError(f"clip {key!r} must have frames, but has none.")
        squares = centre_crop(torch.from_numpy(frames).permute(0, 3, 1, 2), size=self._size)
        packed, total, length = 0, self._windows.count(len(frames)), self._windows.frames
        while packed < total:
            count = min(total - packed, self._room - self._filled)
            rows = self._windows.rows(packed, count, num_frames=len(frames))
            # Windows are gathered here, into the batch: overlapping windows of a whole clip would be larger.
            self._batch[self._filled * length : (self._filled + count) * length] = squares[rows]
            packed, self._filled = packed + count, self._filled + count
            self._spans.append(UnitSpan(key, count, is_last=packed == total))
            if self._filled == self._room:
                yield self._batch, self._spans
                self._batch, self._spans, self._filled = self._new_batch(), [], 0

    def finish(self) -> Iterator[tuple[Tensor, list[UnitSpan[K]]]]:
        """Yield the last batch, if there are frames left (see :meth:`add`)."""
        if self._spans:
            # A batch that is used again still holds older frames there.
            self._batch[self._filled * self._windows.frames :] = 0
            yield self._batch, self._spans


def blank_frames(num_frames: int, size: int, *, pin: bool = False) -> Tensor:
    """Return black frames (N, 3, S, S) with the memory layout of decoded frames: channels innermost."""
    return torch.zeros(num_frames, size, size, 3, dtype=torch.uint8, pin_memory=pin).permute(0, 3, 1, 2)
