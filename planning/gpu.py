"""GPU of a plan: the GPU of this machine, or another GPU by name and memory."""

import torch

from ..core.device import resolve_dtype
from ..core.errors import ConfigError
from ..training.config import TrainingConfig
from .memory import GB


def planned_dtype(training: TrainingConfig, device: torch.device) -> torch.dtype:
    """Return the format of products. ``auto`` is bf16 for a GPU outside this machine."""
    away = device.type != "cuda" and training.precision == "auto"
    return torch.bfloat16 if away else resolve_dtype(training.precision, device)


def gpu_bytes(vram_gb: float | None, device: torch.device) -> int:
    """Return the memory of the planned GPU.

    Raises:
        ConfigError: the memory is not given, and there is no CUDA device to ask.
    """
    if vram_gb is not None:
        return round(vram_gb * GB)
    if device.type != "cuda":
        raise ConfigError(
            f"--vram must be given where there is no CUDA device, but --device is {device.type}."
        )
    return torch.cuda.get_device_properties(device).total_memory


def device_name(device: torch.device) -> str | None:
    """Return the name of a CUDA device. None for any other device."""
    return torch.cuda.get_device_name(device) if device.type == "cuda" else None
