"""What a language model's weights and what is trained on them take, to the byte, from its config alone."""

import json
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from itertools import chain
from typing import Any

import torch
from torch import nn
from transformers import PretrainedConfig

from ..training.config import Optimiser
from .config import LoraSettings, ProjectorConfig, Quantise
from .lora import add_lora
from .projector import Projector
from .skeleton import config_from, quantised_names, skeleton

NF4_BLOCK = 64  # weights that share a scale; bitsandbytes' default
SCALE_BLOCK = 256  # scales that share a scale of their own: double quantisation
CODE_BYTES = 16 * 4 + 256 * 4  # of each matrix: the values of NF4, and of the 8-bit scales
OFFSET_BYTES = 4
MOMENT_BYTES = {
    "adamw": 8.0,
    "sgd": 4.0,
    "adamw8bit": 2 * (1 + 4 / 256),
    "paged_adamw8bit": 2 * (1 + 4 / 256),
}
"""Of each trained number. bitsandbytes' 8-bit optimisers share an fp32 scale among 256 numbers; the paged one
may move its part to the host, which is not counted on."""
SMALL_TENSOR = 4096  # below so many numbers, 8-bit optimisers keep 32 bits (bitsandbytes' min_8bit_size)


@dataclass(frozen=True, kw_only=True)
class Weights:
    """Bytes of a model that stands ready for training."""

    quantised: int
    """Quantised matrices with their scales."""
    rest: int
    """Everything else: embeddings, head, norms, biases, buffers."""
    largest_matrix: int
    """The largest quantised matrix as it is unpacked for one multiplication; 0 where nothing is packed."""
    lora_sizes: tuple[int, ...]
    """Numbers in each adapter matrix."""

    @property
    def total(self) -> int:
        """Bytes of the frozen model."""
        return self.quantised + self.rest


def nf4_bytes(numbers: int) -> int:
    """Return the bytes of a matrix in NF4 with double quantisation.

    >>> nf4_bytes(4096 * 4096)  # 0.516 a weight
    8655940
    """
    scales = -(-numbers // NF4_BLOCK)
    return -(-numbers // 2) + scales + 4 * -(-scales // SCALE_BLOCK) + OFFSET_BYTES + CODE_BYTES


def int8_bytes(rows: int, columns: int) -> int:
    """Return the bytes of a matrix in 8 bits: an fp32 scale a row."""
    return rows * columns + 4 * rows


def measure_weights(
    config: PretrainedConfig, *, quantise: Quantise, dtype: torch.dtype, lora: LoraSettings
) -> Weights:
    """Return what the model of ``config`` takes; nothing is allocated."""
    return _measured(config.to_json_string(), quantise, dtype, lora)


@lru_cache(maxsize=64)
def _measured(config_json: str, quantise: Quantise, dtype: torch.dtype, lora: LoraSettings) -> Weights:
    model = skeleton(config_from(json.loads(config_json), name="config.json"), dtype=dtype)
    names = quantised_names(model, quantise)
    packed = [model.get_submodule(name).weight for name in names]
    whole = sum(tensor.nbytes for tensor in (*model.parameters(), *model.buffers()))
    return Weights(
        quantised=sum(_packed_bytes(weight, quantise) for weight in packed),
        rest=whole - sum(weight.nbytes for weight in packed),
        largest_matrix=max((weight.nbytes for weight in packed), default=0) if quantise == "nf4" else 0,
        lora_sizes=tuple(p.numel() for p in add_lora(model, lora).parameters() if p.requires_grad),
    )


def projector_sizes(config: ProjectorConfig, *, feature_size: int, embedding_size: int) -> tuple[int, ...]:
    """Return how many numbers each tensor of the projector holds."""
    with torch.device("meta"):
        projector: nn.Module = Projector(feature_size, embedding_size, config=config)
    return tuple(p.numel() for p in projector.parameters())


def stream_projector_sizes(
    config: ProjectorConfig, *, feature_sizes: Sequence[int], embedding_size: int
) -> tuple[int, ...]:
    """Return how many numbers each tensor of all streams' projectors holds."""
    sizes = (projector_sizes(config, feature_size=f, embedding_size=embedding_size) for f in feature_sizes)
    return tuple(chain.from_iterable(sizes))


def trained_bytes(sizes: tuple[int, ...], *, optimiser: Optimiser) -> tuple[int, int, int]:
    """Return bytes of fp32 weights, of their gradients, and of the optimiser's moments."""
    numbers = sum(sizes)
    return 4 * numbers, 4 * numbers, sum(_moment_bytes(size, optimiser) for size in sizes)


def _moment_bytes(size: int, optimiser: Optimiser) -> int:
    small = optimiser in ("adamw8bit", "paged_adamw8bit") and size < SMALL_TENSOR
    return round(size * (8.0 if small else MOMENT_BYTES[optimiser]))


def _packed_bytes(weight: Any, quantise: Quantise) -> int:
    return nf4_bytes(weight.numel()) if quantise == "nf4" else int8_bytes(*weight.shape)
