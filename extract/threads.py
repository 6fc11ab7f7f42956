"""CPU cores and threads of this process."""

import os
from collections.abc import Iterator
from contextlib import contextmanager


def available_cores() -> int:
    """Return the number of cores for this process. A scheduler often limits the number."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def default_threads() -> int:
    """Return the threads of a computation: OMP_NUM_THREADS (set by schedulers), else one per core."""
    # torch reads the variable only while it is loaded. Processes of --devices and Ray set it later.
    said = os.environ.get("OMP_NUM_THREADS", "")
    return int(said) if said.isdecimal() and int(said) else available_cores()


@contextmanager
def torch_threads(count: int) -> Iterator[None]:
    """Set the number of threads of torch inside this block."""
    import torch  # the settings use this file, and load without torch

    before = torch.get_num_threads()
    torch.set_num_threads(count)
    try:
        yield
    finally:
        torch.set_num_threads(before)
