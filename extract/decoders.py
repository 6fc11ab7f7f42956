"""Decoding ahead: processes that read clips while the encoder is at work."""

import os
import shutil
from collections.abc import Iterator
from dataclasses import dataclass
from functools import partial
from multiprocessing import active_children
from multiprocessing.process import BaseProcess
from multiprocessing.sharedctypes import RawArray
from pathlib import Path
from typing import Any

import torch
from torch.utils.data import DataLoader, Dataset, get_worker_info

from ..core.signals import end_quietly
from ..training.workers import prepare_worker
from .clips import ClipDataset, Item

CLIPS_AHEAD = 2
"""Clips each worker decodes in advance: of 300 frames of 224 pixels they take 90 MB."""
_NICENESS = 10
"""Decoding takes the cores the encoder leaves. Were they shared evenly, the encoder's threads would wait for
one another: docs/extract.md has figures. 19 would let everything else on a busy machine go first."""
_SHARED_MEMORY = Path("/dev/shm")


@dataclass(frozen=True, kw_only=True)
class Lost:
    """A worker that died."""

    index: int | None
    """The clip it was reading, or the last it had read; None before the first."""
    exitcode: int
    """How it ended: its exit status, or minus the signal's number."""


class Decoders:
    """Processes that read the clips of a dataset; iterated once, they come in order."""

    def __init__(self, clips: ClipDataset, *, count: int) -> None:
        """Prepare ``count`` processes, which are started by the first clip asked for; 0: read clips here."""
        count = min(count, len(clips))
        self._reading = RawArray("q", 2 * count)  # each worker's process id and the clip it reads
        self._processes: list[BaseProcess] = []
        shared = _fits_shared_memory(clips, workers=count)
        self._loader = DataLoader(
            _Announced(clips, self._reading, shared=shared),
            batch_size=None,
            num_workers=count,
            collate_fn=_unchanged,
            worker_init_fn=partial(_begin, niceness=_NICENESS),
            prefetch_factor=CLIPS_AHEAD if count else None,
        )

    def __iter__(self) -> Iterator[Item]:
        """Yield clips in order."""
        before = set(active_children())
        items = iter(self._loader)
        self._processes = [process for process in active_children() if process not in before]
        for index, frames in items:
            yield index, frames.numpy() if isinstance(frames, torch.Tensor) else frames

    def lost(self) -> list[Lost]:
        """Return the workers that are no more; at the end of the clips that is all of them."""
        reading = dict(zip(self._reading[::2], self._reading[1::2], strict=True))
        dead = [process for process in self._processes if not process.is_alive()]
        # A process that dies while it starts has read none.
        return [Lost(index=reading.get(process.pid or 0), exitcode=process.exitcode or 0) for process in dead]

    def end(self) -> None:
        """End the processes now, whatever they are reading."""
        for process in self._processes:
            process.terminate()
        for process in self._processes:
            process.join()


class _Announced(Dataset[Any]):
    """Clips whose numbers are written down before they are read: a decoder's crash leaves no other trace."""

    def __init__(self, clips: ClipDataset, reading: Any, *, shared: bool) -> None:
        self._clips = clips
        self._reading = reading
        self._shared = shared

    def __len__(self) -> int:
        return len(self._clips)

    def __getitem__(self, index: int) -> tuple[int, Any]:
        if (worker := get_worker_info()) is not None:
            self._reading[2 * worker.id : 2 * worker.id + 2] = [os.getpid(), index]
        index, frames = self._clips[index]
        return index, frames if isinstance(frames, str) or not self._shared else torch.from_numpy(frames)


def _fits_shared_memory(clips: ClipDataset, *, workers: int) -> bool:
    """Tell whether clips can travel through shared memory, four times as fast as through a pipe.

    In containers it is often too small, and a process that writes beyond its end is killed: it must hold
    twice all clips that can be on their way.
    """
    if not workers or not _SHARED_MEMORY.is_dir():
        return False
    config = clips.config
    clip_bytes = config.sampling.max_frames * config.image_size**2 * 3
    return shutil.disk_usage(_SHARED_MEMORY).free > 2 * workers * (CLIPS_AHEAD + 1) * clip_bytes


def _begin(worker: int, *, niceness: int) -> None:
    """Set up a worker: it gives way to the encoder, and ends without a word when the signals come."""
    os.nice(niceness)
    prepare_worker()
    end_quietly()


def _unchanged(item: Any) -> Any:
    """Leave a clip as it is: no array is to become a tensor."""
    return item
