"""How many cores this process may use, and how many threads torch takes of them."""

import os
from collections.abc import Iterator
from contextlib import contextmanager


def available_cores() -> int:
    """Return how many cores this process may use: a scheduler often gives it fewer than there are."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def default_threads() -> int:
    """Return the threads to compute with: OMP_NUM_THREADS, which schedulers set; else one a core."""
    said = os.environ.get("OMP_NUM_THREADS", "")
    return int(said) if said.isdecimal() and int(said) else available_cores()


@contextmanager
def torch_threads(count: int) -> Iterator[None]:
    """Let torch compute with ``count`` threads inside this block."""
    import torch  # the settings use this file, and load without torch

    before = torch.get_num_threads()
    torch.set_num_threads(count)
    try:
        yield
    finally:
        torch.set_num_threads(before)
