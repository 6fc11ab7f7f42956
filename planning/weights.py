"""Bytes of language model weights and trained tensors, exact, from the config alone."""

import json
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import torch
from torch import nn
from transformers import PretrainedConfig

from ..finetune.config import TuneConfig
from ..finetune.projector import GatedProjectors, Projector
from ..llm.config import LoraSettings, Quantise
from ..llm.lora import add_lora
from ..llm.trim import cut_rows
from ..training.config import Optimiser
from .model_shapes import build_on_meta, config_from, quantised_names

NF4_BLOCK = 64  # weights that share a scale; bitsandbytes' default
SCALE_BLOCK = 256  # scales that share a scale of their own: double quantisation
CODE_BYTES = 16 * 4 + 256 * 4  # of each matrix: the values of NF4, and of the 8-bit scales
OFFSET_BYTES = 4
MOMENTS = {"adamw": 2, "sgd": 1, "adamw8bit": 2, "paged_adamw8bit": 2}
MOMENT_BLOCK = 256  # numbers of an 8-bit moment that share an fp32 scale
SMALL_TENSOR = 4096  # below so many numbers, 8-bit optimisers keep 32 bits (bitsandbytes' min_8bit_size)
PAGED_TENSOR = 100_000  # from so many on, a paged optimiser's moments may lie on the host


@dataclass(frozen=True, kw_only=True)
class Weights:
    """Bytes of a language model, ready for training."""

    quantised: int
    """Quantised matrices and scales."""
    rest: int
    """All other tensors: embeddings, head, norms, biases, buffers."""
    largest_matrix: int
    """The largest quantised matrix, unpacked for a multiplication. 0 without quantisation."""
    whole: int
    """The whole model after loading, with the whole vocabulary."""
    rows: int
    """Tokens of the trimmed vocabulary."""
    trained: tuple[int, ...]
    """Numbers in each trained tensor: adapters, or the model's own tensors."""
    copied: int
    """Trained numbers with a copy by autocast: adapters, or the linear layers of the model."""
    head: int
    """Trained numbers of the head."""
    embedding: int
    """Trained numbers of the word embedding. 0 for a tied head."""
    decoder_share: float
    """Share of the decoder in the numbers of all layers."""

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
    config: PretrainedConfig, *, quantise: Quantise, dtype: torch.dtype, lora: LoraSettings | None,
    full: bool = False, rows: int | None = None,
) -> Weights:  # fmt: skip
    """Return the bytes of the model of ``config``, without allocation.

    Args:
        config: config of the model.
        quantise: format of the linear layers.
        dtype: format of all other tensors.
        lora: settings of the adapters. None without adapters.
        full: whether every weight is trained.
        rows: number of tokens of a trimmed vocabulary. None keeps all tokens.
    """
    return _measure(config.to_json_string(), quantise, dtype, lora, full, rows)


@lru_cache(maxsize=64)
def _measure(
    config_json: str, quantise: Quantise, dtype: torch.dtype, lora: LoraSettings | None, full: bool,
    rows: int | None,
) -> Weights:  # fmt: skip
    model = build_on_meta(config_from(json.loads(config_json), name="config.json"), dtype=dtype)
    packed = [model.get_submodule(name).weight for name in quantised_names(model, quantise)]
    quantised = sum(_packed_bytes(weight, quantise) for weight in packed)
    plain = sum(weight.nbytes for weight in packed)
    whole = _tensor_bytes(model) - plain + quantised
    if rows is not None:
        cut_rows(model, torch.empty(rows, dtype=torch.long, device="meta"))
    # Quantised matrices are no rows of the vocabulary: cutting rows leaves their bytes as they were.
    rest = _tensor_bytes(model) - plain
    words, head = model.get_input_embeddings().weight, model.get_output_embeddings().weight
    linear = (module for module in model.modules() if isinstance(module, nn.Linear))
    # A tied head is found under two names and must count once.
    copied = {id(p): p.numel() for module in linear for p in module.parameters()}
    # Before the adapters: add_lora() changes the model in place.
    share = _decoder_share(model)
    trained = tuple(p.numel() for p in model.parameters()) if full else _adapter_sizes(model, lora)
    return Weights(
        quantised=quantised,
        rest=rest,
        largest_matrix=max((weight.numel() * dtype.itemsize for weight in packed), default=0),
        whole=whole,
        rows=words.shape[0],
        trained=trained,
        copied=sum(copied.values()) if full else sum(trained),
        head=head.numel() if full else 0,
        embedding=words.numel() if full and words is not head else 0,
        decoder_share=share,
    )


def _adapter_sizes(model: Any, lora: LoraSettings | None) -> tuple[int, ...]:
    if lora is None:
        return ()
    return tuple(p.numel() for p in add_lora(model, lora).parameters() if p.requires_grad)


def _decoder_share(model: Any) -> float:
    if not model.config.is_encoder_decoder:
        return 1.0
    words = model.get_input_embeddings().weight.numel()
    encoder, decoder = (
        sum(p.numel() for p in stack.parameters()) - words
        for stack in (model.get_encoder(), model.get_decoder())
    )
    return decoder / (encoder + decoder)


def _tensor_bytes(model: nn.Module) -> int:
    return sum(tensor.nbytes for tensor in (*model.parameters(), *model.buffers()))


def _packed_bytes(weight: Any, quantise: Quantise) -> int:
    return nf4_bytes(weight.numel()) if quantise == "nf4" else int8_bytes(*weight.shape)


def projector_sizes(
    tune: TuneConfig, *, feature_sizes: Sequence[int], embedding_size: int
) -> tuple[int, ...]:
    """Return the number of numbers in each tensor of all streams' projectors."""
    if tune.fuse == "channels":
        feature_sizes = [sum(feature_sizes)]
    with torch.device("meta"):
        projectors = [
            Projector(size, embedding_size, config=tune.projector_of(number))
            for number, size in enumerate(feature_sizes)
        ]
        parts: nn.Module = nn.ModuleList(projectors)
        if tune.fuse == "gate":
            parts = GatedProjectors(projectors, embedding_size)
    return tuple(p.numel() for p in parts.parameters())


def moment_bytes(sizes: Sequence[int], *, optimiser: Optimiser) -> tuple[int, int]:
    """Return the optimiser's bytes for tensors of ``sizes`` numbers: on the device, and in pages.

    Pages come to the device for the optimiser's step, and leave when other tensors need the room.
    """
    in_8_bits = optimiser in ("adamw8bit", "paged_adamw8bit")
    staying = paged = 0
    for size in sizes:
        small = not in_8_bits or size < SMALL_TENSOR
        numbers = MOMENTS[optimiser] * size * (4 if small else 1)
        if optimiser == "paged_adamw8bit" and size >= PAGED_TENSOR:
            paged += numbers
        else:
            staying += numbers
        staying += 0 if small else MOMENTS[optimiser] * 4 * -(-size // MOMENT_BLOCK)
    return staying, paged
