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

from ..finetune.config import LoraSettings, ProjectorConfig, Quantise
from ..finetune.projector import Projector
from ..llm.lora import add_lora
from ..llm.trim import cut_rows
from ..training.config import Optimiser
from .skeleton import config_from, quantised_names, skeleton

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
    """Bytes of a language model that stands ready for training."""

    quantised: int
    """Quantised matrices with their scales."""
    rest: int
    """Everything else: embeddings, head, norms, biases, buffers."""
    largest_matrix: int
    """The largest quantised matrix as it is unpacked for one multiplication; 0 where nothing is packed."""
    whole: int
    """All of it as it is loaded, before the vocabulary is trimmed."""
    rows: int
    """Tokens of the vocabulary, trimmed."""
    lora_sizes: tuple[int, ...]
    """Numbers in each adapter matrix."""
    own_sizes: tuple[int, ...]
    """Numbers in each of the model's own tensors, where those are trained."""
    copied: int
    """Trained numbers that autocast copies: adapters, or the model's linear layers."""
    head: int
    """Those of them in the head, where it is trained."""
    embedding: int
    """Trained numbers of the embedding of words; of a tied head none of their own."""
    decoder_share: float
    """Share of the layers' numbers that the decoder has."""

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
    """Return what the model of ``config`` takes; nothing is allocated.

    Args:
        config: of the model.
        quantise: format of its linear layers.
        dtype: format of everything else.
        lora: its adapters; None where none are trained.
        full: every weight is trained.
        rows: tokens that a trimmed vocabulary keeps; None keeps all.
    """
    return _measured(config.to_json_string(), quantise, dtype, lora, full, rows)


@lru_cache(maxsize=64)
def _measured(
    config_json: str,
    quantise: Quantise,
    dtype: torch.dtype,
    lora: LoraSettings | None,
    full: bool,
    rows: int | None,
) -> Weights:
    model = skeleton(config_from(json.loads(config_json), name="config.json"), dtype=dtype)
    packed = [model.get_submodule(name).weight for name in quantised_names(model, quantise)]
    quantised = sum(_packed_bytes(weight, quantise) for weight in packed)
    plain = sum(weight.nbytes for weight in packed)
    whole = _held(model) - plain + quantised
    if rows is not None:
        cut_rows(model, torch.empty(rows, dtype=torch.long, device="meta"))
    rest = _held(model) - plain
    linear = [module for module in model.modules() if isinstance(module, nn.Linear)]
    copied = {id(p): p.numel() for module in linear for p in module.parameters()}
    words, head = model.get_input_embeddings().weight, model.get_output_embeddings().weight
    own = tuple(p.numel() for p in model.parameters()) if full else ()
    adapters = (p for p in add_lora(model, lora).parameters() if p.requires_grad) if lora is not None else ()
    lora_sizes = tuple(p.numel() for p in adapters)
    return Weights(
        quantised=quantised,
        rest=rest,
        largest_matrix=max((weight.numel() * dtype.itemsize for weight in packed), default=0),
        whole=whole,
        rows=words.shape[0],
        lora_sizes=lora_sizes,
        own_sizes=own,
        copied=sum(copied.values()) if full else sum(lora_sizes),
        head=head.numel() if full else 0,
        embedding=words.numel() if full and words is not head else 0,
        decoder_share=_decoder_share(model),
    )


def _decoder_share(model: Any) -> float:
    if not model.config.is_encoder_decoder:
        return 1.0
    words = model.get_input_embeddings().weight.numel()
    encoder, decoder = (
        sum(p.numel() for p in tower.parameters()) - words
        for tower in (model.get_encoder(), model.get_decoder())
    )
    return decoder / (encoder + decoder)


def _held(model: nn.Module) -> int:
    return sum(tensor.nbytes for tensor in (*model.parameters(), *model.buffers()))


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


def moment_bytes(sizes: Sequence[int], *, optimiser: Optimiser) -> tuple[int, int]:
    """Return what the optimiser keeps of tensors of ``sizes`` numbers: on the device, and in pages.

    Pages come to the device for the optimiser's step, and leave it where something else needs the room.
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


def _packed_bytes(weight: Any, quantise: Quantise) -> int:
    return nf4_bytes(weight.numel()) if quantise == "nf4" else int8_bytes(*weight.shape)
