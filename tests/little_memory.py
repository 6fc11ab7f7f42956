"""Memory of forked processes: what work takes, and readers in little room, for sizes that files declare."""

import ctypes
import gc
import os
import resource
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from fla_llm.core.errors import DataError, FlaError

ROOM_BYTES = 1 << 28
"""Address space that a reader gets for a file of a few kilobytes."""
STATUS = Path("/proc/self/statm")
MAXRSS_BYTES = 1 if sys.platform == "darwin" else 1024
"""getrusage counts in bytes on macOS, in kibibytes elsewhere."""


def read_in_little_memory(read: Callable[[], Any]) -> str:
    """Return the error that ``read`` raises in a process with little address space, or ``no error``."""
    if not STATUS.exists():
        pytest.skip(f"no {STATUS}: this system does not tell how much address space is in use")
    receiver, sender = os.pipe()
    if (child := os.fork()) == 0:
        limit = int(STATUS.read_text().split()[0]) * resource.getpagesize() + ROOM_BYTES
        resource.setrlimit(resource.RLIMIT_AS, (limit, limit))
        found = "no error"
        try:
            read()
        except FlaError as error:
            found = str(error)
        except BaseException as error:
            found = repr(error)
        finally:
            os.write(sender, found.encode())
            os._exit(0)
    os.close(sender)
    os.waitpid(child, 0)
    with os.fdopen(receiver, "rb") as file:
        return file.read().decode()


def check_refused(read: Callable[[], Any], *, error: type[FlaError] = DataError) -> str:
    """Check that ``read`` refuses a file for what the file says, and not because memory ran out."""
    with pytest.raises(error) as caught:
        read()
    assert read_in_little_memory(read) == str(caught.value)
    assert "emory" not in str(caught.value)
    return str(caught.value)


def peak_growth(work: Callable[[], Any]) -> int:
    """Return by how many bytes ``work`` raises a fork's peak memory, FFmpeg's and NumPy's included.

    What this process has freed but not given back would hide it.
    """
    gc.collect()
    if trim := getattr(ctypes.CDLL(None), "malloc_trim", None):  # of glibc
        trim(0)
    read_end, write_end = os.pipe()
    pid = os.fork()
    if pid == 0:
        try:
            begin = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
            work()
            end = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
            os.write(write_end, str((end - begin) * MAXRSS_BYTES).encode())
        finally:
            os._exit(0)
    os.close(write_end)
    os.waitpid(pid, 0)
    with os.fdopen(read_end) as pipe:
        return int(pipe.read())
