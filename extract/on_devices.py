"""``--devices``: several processes of one machine, one a device, each writing its share of the shards.

They need nothing of each other. When one fails, the others finish what is theirs; when this process is
ended, all are. Each starts afresh and loads the encoder itself: a fork could not use CUDA.
"""

import logging
import multiprocessing
import os
import signal
import sys
import threading
import time
import traceback
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from multiprocessing.connection import Connection, wait
from multiprocessing.process import BaseProcess
from typing import Any, Literal

import torch

from ..core.device import resolve_device
from ..core.errors import CacheError, ConfigError, FlaError
from ..core.logs import call_with_logging, console_level
from .job import Job, merged, write_shards
from .prefixed import Prefixed
from .result import Extracted
from .shards import Shard

logger = logging.getLogger(__name__)

Outcome = Extracted | Exception
PATIENCE_SECONDS = 30.0
"""How long a process may take to end when it is asked to."""


@dataclass(frozen=True, kw_only=True)
class Share:
    """What one process does."""

    name: str
    """What its lines begin with, such as ``1 cuda:1``."""
    device: str
    shards: tuple[Shard, ...]
    threads: int | None
    """CPU threads its computations may use; None: as torch takes."""


def parse_devices(text: str) -> list[str]:
    """Return the devices that ``--devices`` names: ``cuda:0,cuda:1``, ``cpu,cpu``, or ``all`` CUDA devices.

    Raises:
        ConfigError: one is not on this machine, or they are of several kinds.
    """
    if text == "all":
        names = [f"cuda:{index}" for index in range(torch.cuda.device_count())]
        if not names:
            raise ConfigError("--devices all must find a CUDA device, but there is none.\nRun: fla doctor")
        return names
    names = [name.strip() for name in text.split(",")]
    kinds = sorted({resolve_device(name).type for name in names})
    if len(kinds) > 1:
        raise ConfigError(
            f"--devices must be of one kind, but are {', '.join(kinds)}: their shards would not be one cache."
        )
    return names


def extract_on_devices(
    job: Job,
    shards: Sequence[Shard],
    *,
    devices: Sequence[str],
    method: Literal["spawn", "fork"] = "spawn",
) -> Extracted:
    """Write shards in one process a device: the k-th writes every ``len(devices)``-th of them, from the k-th.

    Args:
        job: what, by which encoder, to where.
        shards: (i, n) of each.
        devices: a name for each process; the same may come several times.
        method: how processes start; ``fork`` is quicker and works on the CPU alone.

    Raises:
        FlaError: the first that a process ended with, after the others have finished.
        CacheError: a process was killed.
    """
    begin, shares = time.monotonic(), _shares(shards, devices)
    own = job.sharing_cores(len(shares))
    usual = multiprocessing.get_start_method()
    context: Any = multiprocessing.get_context(method)  # its type lacks what all contexts have
    processes: list[BaseProcess] = []
    readers: dict[Connection, Share] = {}
    with _ended_by_signal():
        try:
            for share in shares:
                reader, writer = context.Pipe(duplex=False)
                process = context.Process(
                    target=call_with_logging,
                    args=(console_level(), _work, own, share, writer, usual),
                    name=share.name,
                )
                process.start()
                writer.close()  # else the end of the process would not end the pipe
                processes.append(process)
                readers[reader] = share
            outcomes = _collect(readers)
            for process in processes:
                process.join(PATIENCE_SECONDS)
        finally:
            _end(processes)
    for outcome in outcomes.values():
        if isinstance(outcome, Exception):
            raise outcome
    results = [outcomes[share.name] for share in shares]
    return merged([r for r in results if isinstance(r, Extracted)], seconds=time.monotonic() - begin)


def _shares(shards: Sequence[Shard], devices: Sequence[str]) -> list[Share]:
    """Deal out the shards, and on the CPU its threads; a device that no shard is left for has no share."""
    devices = devices[: len(shards)]
    threads = max(1, torch.get_num_threads() // len(devices))
    return [
        Share(
            name=f"{place} {device}",
            device=device,
            shards=tuple(shards[place :: len(devices)]),
            threads=threads if device == "cpu" else None,
        )
        for place, device in enumerate(devices)
    ]


def _collect(readers: Mapping[Connection, Share]) -> dict[str, Outcome]:
    """Wait for every process; return what came of each, in the order they ended, by the share's name."""
    outcomes: dict[str, Outcome] = {}
    waiting = dict(readers)
    while waiting:
        for reader in wait(list(waiting)):
            assert isinstance(reader, Connection)
            share = waiting.pop(reader)
            outcome = outcomes[share.name] = _receive(reader, share)
            if isinstance(outcome, Exception) and waiting:
                logger.warning(f"[{share.name}] {outcome}\nThe other processes go on with their shards.")
    return outcomes


def _receive(reader: Connection, share: Share) -> Outcome:
    try:
        return reader.recv()
    except EOFError:
        return CacheError(
            f"The process on {share.device} was killed before its shards were finished (out of memory?).\n"
            "Run the same command again; what is done is kept."
        )


def _work(job: Job, share: Share, writer: Connection, usual: str) -> None:
    """Write a share's shards and send what came of it; the body of each process."""
    # Else the processes that decode would also be started afresh, which takes seconds for each shard.
    multiprocessing.set_start_method(usual, force=True)
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C reaches all at once; the parent ends us
    signal.signal(signal.SIGTERM, signal.SIG_DFL)
    threading.Thread(target=_end_with_parent, daemon=True).start()
    sys.stderr = Prefixed(sys.stderr, prefix=f"[{share.name}] ")
    try:
        outcome: Outcome = write_shards(job, share.shards, device=share.device, threads=share.threads)
    except (FlaError, OSError) as error:
        outcome = error
    except Exception as error:
        traceback.print_exc()
        outcome = RuntimeError(f"the process on {share.device} failed: {error!r}")
    writer.send(outcome)


def _end_with_parent() -> None:
    parent = multiprocessing.parent_process()
    assert parent is not None
    parent.join()
    os.kill(os.getpid(), signal.SIGTERM)


def _end(processes: Sequence[BaseProcess]) -> None:
    """End what still runs; the journals keep what is done."""
    for process in processes:
        if process.is_alive():
            process.terminate()
    for process in processes:
        process.join(PATIENCE_SECONDS)
        if process.is_alive():
            process.kill()
            process.join()


@contextmanager
def _ended_by_signal() -> Iterator[None]:
    """Make SIGTERM an exit that runs what must be run, where this is the main thread."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    previous = signal.signal(signal.SIGTERM, lambda number, _: sys.exit(128 + number))
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, previous)
