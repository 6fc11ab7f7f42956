"""Clips packed into full batches: frames, or windows of frames, of many clips one behind the other."""

from collections.abc import Callable, Iterable, Iterator
from typing import TypeVar

import numpy as np
import torch
from torch import Tensor

from ..video.transforms import centre_crop
from .windows import Windows

K = TypeVar("K")
Share = tuple[K, int, bool]
"""A clip's key, how many of a batch's units are its, and whether they are its last."""


def pack_batches(
    clips: Iterable[tuple[K, np.ndarray]],
    *,
    size: int,
    frame_batch: int,
    windows: Windows | None = None,
    filled: int = 0,
    new_batch: Callable[[], Tensor] | None = None,
) -> Iterator[tuple[Tensor, list[Share[K]]]]:
    """Cut a stream of clips into batches of equal size, the last filled up with zeros.

    Windows that overlap are cut while a batch is filled: no clip is ever held as all its windows.

    Shapes: N frames in a batch, as many of ``frame_batch`` as make whole windows.

    Args:
        clips: keys and frames (T, H, W, 3), uint8; the middle is taken.
        size: side in pixels of what the encoder sees.
        frame_batch: frames in a batch, at most.
        windows: how clips are cut into units; None: into single frames.
        filled: units of zeros the first batch begins with.
        new_batch: gives the tensor to fill (N, 3, size, size), uint8, zero where nothing was written yet;
            None: a new one every time.

    Yields:
        Frames (N, 3, size, size), uint8, and whose units they are, in order, behind the ``filled`` ones.

    Raises:
        ConfigError: a window has more frames than a batch.
        ValueError: ``frame_batch`` is below 1, ``filled`` leaves no room, or a clip has no frames or too
            small ones.
    """
    windows = windows or Windows()
    room = windows.per_batch(frame_batch)
    if not 0 <= filled < room:
        raise ValueError(f"filled must lie in 0..{room - 1}, but is {filled}.")
    new_batch = new_batch or (lambda: blank_frames(room * windows.frames, size))
    batch, shares = new_batch(), list[Share[K]]()
    for key, frames in clips:
        if len(frames) == 0:
            raise ValueError(f"clip {key!r} must have frames, but has none.")
        squares = centre_crop(torch.from_numpy(frames).permute(0, 3, 1, 2), size=size)
        done, total = 0, windows.count(len(frames))
        while done < total:
            count = min(total - done, room - filled)
            rows = windows.rows(done, count, num_frames=len(frames))
            batch[filled * windows.frames : (filled + count) * windows.frames] = squares[rows]
            done, filled = done + count, filled + count
            shares.append((key, count, done == total))
            if filled == room:
                yield batch, shares
                batch, shares, filled = new_batch(), [], 0
    if shares:
        batch[filled * windows.frames :] = 0  # a batch that is used again holds older frames there
        yield batch, shares


def blank_frames(num_frames: int, size: int, *, pin: bool = False) -> Tensor:
    """Return black frames (N, 3, S, S) that lie in memory as decoded ones do: colours innermost."""
    return torch.zeros(num_frames, size, size, 3, dtype=torch.uint8, pin_memory=pin).permute(0, 3, 1, 2)
