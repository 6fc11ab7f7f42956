"""``--devices``: a process for each device of this machine, with some of the shards.

The processes need nothing of each other. When one fails, the others finish their shards. When this process
ends, all end. Each process starts without a fork, because a fork could not use CUDA, and loads the encoder.
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
from .prefixed import Prefixed
from .request import ShardRequest, write_shards
from .result import Extracted, merged
from .shards import Shard

logger = logging.getLogger(__name__)

Outcome = Extracted | Exception
PATIENCE_SECONDS = 30.0
"""Time for a process to end after a request."""


@dataclass(frozen=True, kw_only=True)
class DeviceAssignment:
    """Device and shards of a process."""

    name: str
    """Name of the process in the output, for instance ``1 cuda:1``."""
    device: str
    shards: tuple[Shard, ...]
    threads: int | None
    """CPU threads of a computation. None: torch's default."""


def parse_devices(text: str) -> list[str]:
    """Return the devices of ``--devices``: ``cuda:0,cuda:1``, ``cpu,cpu``, or ``all`` CUDA devices.

    Raises:
        ConfigError: a device does not exist on this machine, or the devices are of several kinds.
    """
    if text == "all":
        # Only visible devices are counted: CUDA_VISIBLE_DEVICES limits the processes too.
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
    request: ShardRequest,
    shards: Sequence[Shard],
    *,
    devices: Sequence[str],
    method: Literal["spawn", "fork"] = "spawn",
) -> Extracted:
    """Write shards, each of D devices in a process: process k writes shards k, k + D, k + 2 D, ...

    Args:
        request: the work.
        shards: (i, n) of each shard.
        devices: the device of each process; a device may come several times.
        method: start method of the processes, ``fork`` is quicker and works on the CPU alone.

    Raises:
        FlaError: the first error of a process, after the others have finished.
        CacheError: a process was killed.
    """
    begin, assignments = time.monotonic(), _assign(shards, devices)
    # Every process would start decoders for all cores of the machine.
    own = request.sharing_cores(len(assignments))
    usual = multiprocessing.get_start_method()
    context: Any = multiprocessing.get_context(method)  # its type lacks what all contexts have
    processes: list[BaseProcess] = []
    readers: dict[Connection, DeviceAssignment] = {}
    with _ended_by_signal():
        try:
            for assignment in assignments:
                reader, writer = context.Pipe(duplex=False)
                process = context.Process(
                    target=call_with_logging,
                    args=(console_level(), _work, own, assignment, writer, usual),
                    name=assignment.name,
                )
                process.start()
                writer.close()  # else the end of the process would not end the pipe
                processes.append(process)
                readers[reader] = assignment
            outcomes = _collect(readers)  # all, so that one failure does not waste the work of the others
            for process in processes:
                process.join(PATIENCE_SECONDS)
        finally:
            _end(processes)
    for outcome in outcomes.values():
        if isinstance(outcome, Exception):
            raise outcome
    results = [outcomes[assignment.name] for assignment in assignments]
    return merged([r for r in results if isinstance(r, Extracted)], seconds=time.monotonic() - begin)


def _assign(shards: Sequence[Shard], devices: Sequence[str]) -> list[DeviceAssignment]:
    """Divide the shards, and on the CPU the threads; a device without a shard gets no process."""
    devices = devices[: len(shards)]
    threads = max(1, torch.get_num_threads() // len(devices))
    return [
        DeviceAssignment(
            name=f"{number} {device}",
            device=device,
            shards=tuple(shards[number :: len(devices)]),
            threads=threads if device == "cpu" else None,
        )
        for number, device in enumerate(devices)
    ]


def _collect(readers: Mapping[Connection, DeviceAssignment]) -> dict[str, Outcome]:
    """Wait for every process and return the outcomes by the name of the assignment, the earliest first."""
    outcomes: dict[str, Outcome] = {}
    waiting = dict(readers)
    while waiting:
        for reader in wait(list(waiting)):
            assert isinstance(reader, Connection)
            assignment = waiting.pop(reader)
            outcome = outcomes[assignment.name] = _receive(reader, assignment)
            if isinstance(outcome, Exception) and waiting:
                logger.warning(f"[{assignment.name}] {outcome}\nThe other processes go on with their shards.")
    return outcomes


def _receive(reader: Connection, assignment: DeviceAssignment) -> Outcome:
    # A process that is killed closes its end of the pipe without an outcome.
    try:
        return reader.recv()
    except EOFError:
        return CacheError(
            f"The process on {assignment.device} was killed before its shards were finished (out of memory?)."
            "\n"
            "Run the same command again; what is done is kept."
        )


def _work(request: ShardRequest, assignment: DeviceAssignment, writer: Connection, usual: str) -> None:
    """Write the shards of an assignment and send the outcome; the body of each process."""
    # The processes that decode inherit the start method, and spawn takes seconds for each shard.
    multiprocessing.set_start_method(usual, force=True)
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C reaches all at once; the parent ends us
    signal.signal(signal.SIGTERM, signal.SIG_DFL)
    threading.Thread(target=_end_with_parent, daemon=True).start()
    sys.stderr = Prefixed(sys.stderr, prefix=f"[{assignment.name}] ")
    try:
        outcome: Outcome = write_shards(
            request, assignment.shards, device=assignment.device, threads=assignment.threads
        )
    except (FlaError, OSError) as error:
        outcome = error
    except Exception as error:  # may not survive pickling, so its text is sent
        traceback.print_exc()
        outcome = RuntimeError(f"the process on {assignment.device} failed: {error!r}")
    writer.send(outcome)


def _end_with_parent() -> None:
    # A parent that is killed cannot end its children, which would hold the locks of their shards.
    parent = multiprocessing.parent_process()
    assert parent is not None
    parent.join()
    os.kill(os.getpid(), signal.SIGTERM)


def _end(processes: Sequence[BaseProcess]) -> None:
    """End the running processes. The journals keep finished clips."""
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
    """Turn SIGTERM into an exit that runs ``finally`` blocks, where this is the main thread."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    previous = signal.signal(signal.SIGTERM, lambda number, _: sys.exit(128 + number))
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, previous)
