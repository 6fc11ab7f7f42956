"""Several processes, one training: what ``torchrun`` started, asked before the Trainer takes over."""

import os
from typing import TypeVar

import torch
import torch.distributed as dist

from ..core.signals import end_quietly

T = TypeVar("T")


def is_distributed() -> bool:
    """Tell whether ``torchrun`` started more than this process."""
    return int(os.environ.get("WORLD_SIZE", "1")) > 1


def is_main_process() -> bool:
    """Tell whether this process is the one that writes."""
    return int(os.environ.get("RANK", "0")) == 0


def local_device(device: torch.device) -> torch.device:
    """Return the device with its number: under ``torchrun`` each process has its own."""
    if device.type != "cuda" or device.index is not None:
        return device
    return torch.device("cuda", int(os.environ.get("LOCAL_RANK", "0")))


def join_processes(device: torch.device) -> None:
    """Meet the other processes, if there are any; on GPUs each takes its own."""
    if not is_distributed() or dist.is_initialized():
        return
    if device.type == "cuda":
        torch.cuda.set_device(int(os.environ["LOCAL_RANK"]))
    dist.init_process_group("nccl" if device.type == "cuda" else "gloo")


def wait_for_all() -> None:
    """Wait until every process is here."""
    if dist.is_initialized():
        dist.barrier()


def gather_all(values: list[T]) -> list[T]:
    """Return the values of all processes, in the order of their ranks; every process must call."""
    if not dist.is_initialized():
        return values
    parts: list[list[T] | None] = [None] * dist.get_world_size()
    dist.all_gather_object(parts, values)
    return [value for part in parts if part for value in part]


def begin_worker(_: int) -> None:
    """Set up a process that prepares batches: it leaves signals to the main process."""
    end_quietly()


def share_buffers(model: torch.nn.Module) -> None:
    """Give all processes the first one's buffers, which checkpoints hold.

    In training each takes them before a batch and goes on from there: running statistics differ after it.
    """
    if dist.is_initialized():
        for buffer in model.buffers():
            dist.broadcast(buffer, 0)
