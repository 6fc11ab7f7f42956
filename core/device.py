"""Selection of the device, the number format and the CPU threads for computations."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Literal

from .errors import ConfigError

# torch is imported inside the functions, so that this room loads without torch and ``fla --help`` is quick.
if TYPE_CHECKING:
    import torch

Precision = Literal["auto", "bf16", "fp16", "fp32"]


def resolve_device(name: str = "auto") -> torch.device:
    """Return the device called ``name``: ``auto``, ``cpu``, ``mps``, ``cuda`` or ``cuda:1``.

    Raises:
        ConfigError: the name is no device name, or this machine has no such device.
    """
    import torch

    if name == "auto":
        return torch.device("cuda" if torch.cuda.is_available() else "cpu")
    try:
        device = torch.device(name)
    except RuntimeError as error:
        raise ConfigError(f"--device must be auto, cpu, mps, cuda or cuda:N, but is {name!r}.") from error
    count = {"cpu": 1, "cuda": torch.cuda.device_count(), "mps": int(torch.backends.mps.is_available())}
    # mps has one device, and device types that are not listed have none.
    if (device.index or 0) >= count.get(device.type, 0):
        raise ConfigError(f"--device {name} is not on this machine.\nRun: fla doctor")
    return device


def resolve_dtype(precision: Precision, device: torch.device) -> torch.dtype:
    """Return the number format for computations. ``auto`` is bf16 on devices with fast bf16, else fp32."""
    import torch

    if precision == "auto":
        return torch.bfloat16 if has_fast_bf16(device) else torch.float32
    return {"bf16": torch.bfloat16, "fp16": torch.float16, "fp32": torch.float32}[precision]


def has_fast_bf16(device: torch.device) -> bool:
    """Return whether ``device`` multiplies bf16 matrices faster than fp32 matrices, without emulation."""
    import torch

    if device.type == "cuda":
        return torch.cuda.is_bf16_supported(including_emulation=False)
    if device.type == "cpu":
        if not hasattr(torch.cpu, "get_capabilities"):  # older versions of torch
            return False
        # AVX512-BF16 alone is not enough: on a Xeon with AVX512-BF16, ResNet-18 and a ViT-S took 1.0 to 2.0
        # times as long in bf16 as in fp32 (bench/extract_speed.py, docs/extract.md).
        return bool(torch.cpu.get_capabilities().get("amx_bf16"))
    return False


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
    import torch

    before = torch.get_num_threads()
    torch.set_num_threads(count)
    try:
        yield
    finally:
        torch.set_num_threads(before)
