"""Processes of one training under ``torchrun``, before and outside the Trainer."""

import os
from typing import TypeVar

import torch
import torch.distributed as dist

from ..core.signals import end_quietly

T = TypeVar("T")


def count_processes() -> int:
    """Return the number of processes that ``torchrun`` started, 1 without ``torchrun``."""
    return int(os.environ.get("WORLD_SIZE", "1"))


def is_distributed() -> bool:
    """Tell whether ``torchrun`` started more than this process."""
    return count_processes() > 1


def is_main_process() -> bool:
    """Tell whether this process is the first, which writes all files."""
    return int(os.environ.get("RANK", "0")) == 0


def local_device(device: torch.device) -> torch.device:
    """Return the device of this process. Under ``torchrun`` each process has its own GPU."""
    if device.type != "cuda" or device.index is not None:
        return device
    return torch.device("cuda", int(os.environ.get("LOCAL_RANK", "0")))


def join_processes(device: torch.device) -> None:
    """Join the process group if ``torchrun`` started several processes."""
    if not is_distributed() or dist.is_initialized():
        return
    if device.type == "cuda":
        # NCCL needs the device before the group is made.
        torch.cuda.set_device(int(os.environ["LOCAL_RANK"]))
    dist.init_process_group("nccl" if device.type == "cuda" else "gloo")


def wait_for_all() -> None:
    """Wait until every process has reached this call."""
    if dist.is_initialized():
        dist.barrier()


def gather_all(values: list[T]) -> list[T]:
    """Return the values of all processes in the order of ranks. Every process must call this function."""
    if not dist.is_initialized():
        return values
    parts: list[list[T] | None] = [None] * dist.get_world_size()
    dist.all_gather_object(parts, values)
    return [value for part in parts if part for value in part]


def begin_worker(_: int) -> None:
    """Set up a process that prepares batches. Only the main process reacts to signals."""
    end_quietly()


def share_buffers(model: torch.nn.Module) -> None:
    """Copy the buffers of the first process, which checkpoints hold, to all processes."""
    # DDP copies them before each batch. The running statistics of the processes differ after the batch.
    if dist.is_initialized():
        for buffer in model.buffers():
            dist.broadcast(buffer, 0)
