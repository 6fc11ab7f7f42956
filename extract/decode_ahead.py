"""Decoding ahead: worker processes read clips while the encoder is at work."""

import os
import re
import shutil
import signal
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from multiprocessing import active_children
from multiprocessing.connection import wait
from multiprocessing.process import BaseProcess
from multiprocessing.sharedctypes import RawArray
from pathlib import Path
from typing import Any

import torch
from torch.utils.data import DataLoader, Dataset, get_worker_info

from ..core.errors import DataError
from ..core.signals import end_quietly
from ..training.workers import LOADER_ERRORS, prepare_worker
from .clips import ClipDataset, Item

CLIPS_AHEAD = 2
"""Clips that each worker decodes in advance. Two clips of 300 frames of 224 pixels take 90 MB."""
_NICENESS = 10
"""Niceness of workers: decoding takes the cores left by the encoder. With equal priority the threads of the
encoder would wait for each other (docs/extract.md has figures). At 19 everything else on a busy machine would
go first."""
_SECONDS_TO_DIE = 5.0
_SHARED_MEMORY = Path("/dev/shm")


@contextmanager
def decode_ahead(clips: ClipDataset, *, workers: int) -> Iterator[Iterator[Item]]:
    """Yield an iterator over clips, in order, and end the worker processes with the block.

    Args:
        clips: the clips to decode.
        workers: number of processes that decode. 0: this process.

    Raises:
        DataError: a worker process died, or could not send a clip; the error names the clip.
    """
    workers = min(workers, len(clips))  # more would have nothing to read
    if not workers:
        yield (clips[number] for number in range(len(clips)))
        return
    reading = RawArray("q", 2 * workers)  # of each worker its process id and the clip that it reads
    loader = DataLoader(
        _SentClips(clips, reading, shared=_fits_shared_memory(clips, workers=workers)), batch_size=None,
        num_workers=workers, collate_fn=_unchanged, worker_init_fn=_begin, prefetch_factor=CLIPS_AHEAD,
    )  # fmt: skip
    # The loader does not name its processes: they are the children that iter() adds.
    before, processes = set(active_children()), list[BaseProcess]()
    try:
        items = iter(loader)
        processes += [process for process in active_children() if process not in before]
        yield ((number, _as_array(frames)) for number, frames in items)
    except (RuntimeError, ConnectionError, EOFError) as error:
        if isinstance(error, RuntimeError) and not str(error).startswith(LOADER_ERRORS):
            raise
        if not (ends := _ends(processes) or _end_in_words(error)):
            raise
        read = dict(zip(reading[::2], reading[1::2], strict=True))
        raise DataError(_death_report(clips, ends, read)) from error
    finally:
        # Also after the last clip: the loader itself would give a process five seconds.
        for process in (living := processes or set(active_children()) - before):
            process.terminate()
        for process in living:
            process.join()


class _SentClips(Dataset[Any]):
    """Clips on the way out of a worker, which notes the clip first: a crash leaves no other trace."""

    def __init__(self, clips: ClipDataset, reading: Any, *, shared: bool) -> None:
        self._clips, self._reading, self._shared = clips, reading, shared

    def __len__(self) -> int:
        return len(self._clips)

    def __getitem__(self, index: int) -> tuple[int, Any]:
        worker = get_worker_info()
        assert worker is not None, "this process decodes without a loader"
        self._reading[2 * worker.id : 2 * worker.id + 2] = [os.getpid(), index]
        index, frames = self._clips[index]
        # A tensor travels through shared memory, an array through a pipe.
        return index, torch.from_numpy(frames) if self._shared and not isinstance(frames, str) else frames


def _fits_shared_memory(clips: ClipDataset, *, workers: int) -> bool:
    """Return whether shared memory has room for clips. A pipe is four times slower."""
    if not _SHARED_MEMORY.is_dir():
        return False
    # In containers shared memory is often too small, and a process that writes beyond its end is killed.
    # Hence room for twice all clips that can be on their way.
    config = clips.config
    clip_bytes = config.sampling.max_frames * config.image_size**2 * 3
    return shutil.disk_usage(_SHARED_MEMORY).free > 2 * workers * (CLIPS_AHEAD + 1) * clip_bytes


def _begin(worker: int) -> None:
    """Set up a worker process."""
    os.nice(_NICENESS)
    prepare_worker()
    end_quietly()  # signals often go to all processes of a job; the main process reports them


def _unchanged(item: Any) -> Any:
    """Return the clip, without torch's conversion of arrays to tensors."""
    return item


def _as_array(frames: Any) -> Any:
    return frames.numpy() if isinstance(frames, torch.Tensor) else frames


def _ends(processes: Sequence[BaseProcess]) -> dict[int | None, str]:
    """Return the end of each failed worker process, by process id. Without a failure: of each ended one."""
    if processes:
        # A worker that is about to die breaks its connections first. torch reports the death by an error
        # wherever this process happens to be, and names no clip.
        with suppress(RuntimeError):
            wait([process.sentinel for process in processes], timeout=_SECONDS_TO_DIE)
    codes = {process.pid: process.exitcode or 0 for process in processes if not process.is_alive()}
    failed = {pid: code for pid, code in codes.items() if code} or codes  # one that was told to end has 0
    return {
        pid: f"exit code {code}" if code >= 0 else signal.Signals(-code).name for pid, code in failed.items()
    }


def _end_in_words(error: Exception) -> dict[int | None, str]:
    """Return the end of the process in torch's error. The process died while the loader started others."""
    found = re.search(r"\(pid (\d+)\) .*?(exit code \d+|signal: [^.]+)", str(error))
    return {int(found[1]): found[2]} if found else {}


def _death_report(clips: ClipDataset, ends: dict[int | None, str], read: dict[int, int]) -> str:
    """Return the error for dead worker processes.

    Args:
        clips: all clips.
        ends: by process id, how the process ended.
        read: by process id, the clip that a worker reads or has read last.
    """
    # A process that dies while it starts has read none.
    ids = [clips.id_of(read[pid]) for pid in ends if pid in read]
    when = f"while it read {', '.join(map(repr, ids))}, or just after" if ids else "before it read a clip"
    return (
        f"Processes that decode must live to the end, but one ended by {next(iter(ends.values()))} {when}.\n"
        "What is done is kept: run the same command again. If it ends here again, --set workers=0 tells "
        "whether it is this clip; then remove it from the manifest. SIGKILL often means that memory ran "
        "out: take fewer workers."
    )
