"""Mapper: from the features of one frozen encoder to the features of another, step by step.

As in MMSLT, a mapper predicts the embedding of a description from the features of a frame, so that no
description is needed for new videos.
"""

import hashlib
import json
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
import safetensors.torch
import torch
from torch import Tensor, nn

from ..core.config import config_from_dict
from ..core.errors import ConfigError, DataError, ModelError
from ..core.files import atomic_write, read_json, write_json
from ..core.weights import load_into

CONFIG_FILE, WEIGHTS_FILE = "mapper.json", "mapper.safetensors"
FORMAT = "fla-mapper-1"
STEPS_AT_A_TIME = 8192
"""Steps in a batch of :func:`apply_mapper`."""


@dataclass(frozen=True, kw_only=True)
class MapperConfig:
    """Shape of a mapper."""

    source_size: int
    """Width of the given features."""
    target_size: int
    """Width of the predicted features."""
    hidden_size: int = 1024
    """Width of the hidden layer."""


class Mapper(nn.Module):
    """A network with one hidden layer (source - ReLU - hidden - target), as in MMSLT (512-1024-768).

    Features are standardised by the training steps on the way in, and take their mean and deviation from the
    training steps on the way out. MMSLT gives the network raw features. Encoders differ in magnitude by
    orders, so that one learning rate would not fit all.
    """

    source_mean: Tensor
    source_std: Tensor
    target_mean: Tensor
    target_std: Tensor

    def __init__(self, config: MapperConfig) -> None:
        super().__init__()
        self.config = config
        self.layers = nn.Sequential(
            nn.Linear(config.source_size, config.hidden_size),
            nn.ReLU(),
            nn.Linear(config.hidden_size, config.target_size),
        )
        for name, size in (("source", config.source_size), ("target", config.target_size)):
            self.register_buffer(f"{name}_mean", torch.zeros(size))
            self.register_buffer(f"{name}_std", torch.ones(size))

    def forward(self, features: Tensor) -> Tensor:
        """Return the predicted features of steps: (N, F) -> (N, D), float32."""
        predicted = self.layers((features.float() - self.source_mean) / self.source_std)
        return predicted * self.target_std + self.target_mean


@torch.no_grad()
def apply_mapper(mapper: Mapper, features: np.ndarray) -> np.ndarray:
    """Return the predicted features of a clip: (T, F) -> (T, D), float16.

    Raises:
        DataError: a prediction is not finite, or too large for float16.
    """
    # In parts: a long clip of augmented passes need not fit the memory of a small GPU.
    device = mapper.source_mean.device
    steps = torch.from_numpy(features).split(STEPS_AT_A_TIME)
    predicted = torch.cat([mapper(part.to(device)).cpu() for part in steps]).to(torch.float16).numpy()
    if not np.isfinite(predicted).all():
        raise DataError("The mapped features must be at most 65504, but some are not finite in float16.")
    return predicted


def save_mapper(mapper: Mapper, folder: Path) -> None:
    """Write the mapper into ``folder``, the settings last."""
    folder.mkdir(parents=True, exist_ok=True)
    with atomic_write(folder / WEIGHTS_FILE) as temporary:
        temporary.write_bytes(_weights(mapper))
    # With the settings a mapper is whole.
    write_json(folder / CONFIG_FILE, {"format": FORMAT, **asdict(mapper.config)})


def load_mapper(folder: Path) -> Mapper:
    """Return the mapper in ``folder``, frozen and in evaluation mode.

    Raises:
        ModelError: there is no mapper, or a file is damaged.
    """
    if not (folder / CONFIG_FILE).is_file():
        raise ModelError(f"{folder} must hold a mapper, but lacks {CONFIG_FILE}.\nRun: fla map")
    settings = read_json(folder / CONFIG_FILE)
    if not isinstance(settings, dict) or settings.pop("format", None) != FORMAT:
        raise ModelError(f"{folder / CONFIG_FILE} must describe a mapper of format {FORMAT!r}, but does not.")
    # A damaged mapper is a fault of the model's folder, not of the user's settings.
    try:
        mapper = Mapper(config_from_dict(MapperConfig, settings, origin=str(folder / CONFIG_FILE)))
    except ConfigError as error:
        raise ModelError(str(error)) from error
    load_into(mapper, folder / WEIGHTS_FILE, of=str(folder / CONFIG_FILE))
    return mapper.requires_grad_(False).eval()


def mapped_fingerprint(source: str, mapper: Mapper) -> str:
    """Return the fingerprint of a mapper behind an encoder with the fingerprint ``source``."""
    # Another mapper behind the same encoder gives other features, and needs another fingerprint.
    parts = [
        "mapped",
        source,
        json.dumps(asdict(mapper.config)),
        hashlib.sha256(_weights(mapper)).hexdigest(),
    ]
    return hashlib.sha256("\n".join(parts).encode()).hexdigest()


def _weights(mapper: Mapper) -> bytes:
    state = {name: value.detach().cpu().contiguous() for name, value in mapper.state_dict().items()}
    return safetensors.torch.save(state)
