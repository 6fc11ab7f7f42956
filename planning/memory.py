"""Memory of a model with settings, before any batch. A GB is 2**30 bytes, as on the label of a card."""

from collections.abc import Mapping
from dataclasses import dataclass

import torch
from transformers import PretrainedConfig

from ..finetune.config import TuneConfig
from ..llm.load import without_fp16
from .layer_stack import LayerStack, Part, measure_stack
from .weights import Weights, measure_weights, moment_bytes, projector_sizes

GB = 2**30
CONTEXT_BYTES = GB * 9 // 10
"""Memory of CUDA outside the allocator: context and kernels. Differs by card and driver.

Measured: 0.89 GB on an H200 (CUDA 13.0, torch 2.11, bench/vram.py). Assumed for every other card.
"""
OVERHEAD = 0.05
"""Fragmentation: share of the temporary bytes lost to the allocator. Assumed."""

StepPhase = dict[str, float]
"""Bytes on the device during a phase of the step, by name."""


@dataclass(frozen=True, kw_only=True)
class ModelMemory:
    """Weights, layers and trained tensors of a run."""

    config: PretrainedConfig
    tune: TuneConfig
    weights: Weights
    stacks: dict[Part, LayerStack]
    """Layers of the decoder, and layers of the encoder in an encoder-decoder model."""
    projector: tuple[int, ...]
    """Numbers in each tensor of all streams' projectors."""
    feature_sizes: tuple[int, ...]
    """Width of each stream."""
    number_bytes: int
    """Bytes of a number in the format of products."""
    held_bytes: int
    """Bytes of a number of an embedding: fp32 where the model is trained."""

    @property
    def trained_sizes(self) -> tuple[int, ...]:
        """Numbers in each trained tensor."""
        return (*self.weights.trained, *(() if self.tune.train == "lora" else self.projector))

    @property
    def gradients(self) -> int:
        """Bytes of all gradients, fp32."""
        return 4 * sum(self.trained_sizes)

    @property
    def copies(self) -> int:
        """Bytes of autocast's copies of trained weights."""
        # Autocast copies nothing where products are computed in fp32.
        return self.weights.copied * self.number_bytes if self.number_bytes < 4 else 0

    @property
    def standing(self) -> StepPhase:
        """Constant bytes, for every batch of training and evaluation."""
        full = self.tune.train == "full"
        # In a full run the trained weights of the model stand in the line above already.
        added = sum(self.projector) + (0 if full else sum(self.weights.trained))
        return {
            "CUDA context (assumed)": CONTEXT_BYTES,
            f"weights, {self.tune.quantise}": self.weights.quantised,
            "weights, trained" if full else "weights, not quantised": self.weights.rest,
            "LoRA and projector, fp32": 4 * added,
            "optimiser": moment_bytes(self.trained_sizes, optimiser=self.tune.training.optimiser)[0],
        }


def measure_model(
    config: PretrainedConfig, *, tune: TuneConfig, feature_sizes: tuple[int, ...], dtype: torch.dtype,
    rows: int | None = None,
) -> ModelMemory:  # fmt: skip
    """Measure a model from the config, without memory for the weights.

    Args:
        config: config of the model.
        tune: settings of the run.
        feature_sizes: feature width of each stream.
        dtype: format of products.
        rows: number of tokens of a trimmed vocabulary. None keeps all tokens.
    """
    dtype = without_fp16(dtype, config.model_type)
    full = tune.train == "full"
    held = torch.float32 if full else dtype
    lora = tune.lora if tune.train in ("lora", "lora+projector") else None
    parts: tuple[Part, ...] = ("decoder", "encoder") if config.is_encoder_decoder else ("decoder",)
    return ModelMemory(
        config=config,
        tune=tune,
        weights=measure_weights(config, quantise=tune.quantise, lora=lora, full=full, dtype=held, rows=rows),
        stacks={
            part: measure_stack(config, part, quantise=tune.quantise, lora=lora, full=full, dtype=dtype)
            for part in parts
        },
        projector=projector_sizes(tune, feature_sizes=feature_sizes, embedding_size=config.hidden_size),
        feature_sizes=feature_sizes,
        number_bytes=dtype.itemsize,
        held_bytes=held.itemsize,
    )


def fullest(standing: Mapping[str, float], *phases: Mapping[str, float]) -> dict[str, int]:
    """Return the parts of the fullest phase in bytes, with constant parts and allocator overhead."""
    moving = max(phases, key=lambda phase: sum(phase.values()))
    # Tensors that stay leave no gaps: only the moving bytes fragment the memory.
    parts = {**standing, **moving} | {"allocator's overhead (assumed)": OVERHEAD * sum(moving.values())}
    return {name: round(size) for name, size in parts.items() if round(size)}


def total(parts: dict[str, int]) -> int:
    """Return the bytes of all parts."""
    return sum(parts.values())


def verdict(size: int, room: int, *, basis: str = "by an estimate") -> str:
    """Return the line that tells whether ``size`` bytes fit into ``room``."""
    spare = (room - size) / GB
    answer = f"yes, {spare:.1f} GB to spare" if size <= room else f"no, {-spare:.1f} GB too much"
    return f"Fits in {room / GB:g} GB, {basis}: {answer}."


def part_lines(title: str, parts: dict[str, int]) -> list[str]:
    """Return a line for each part, and a line for the total."""
    rows = [f"  {name:34}{size / GB:8.2f} GB" for name, size in parts.items()]
    return [f"{title}, estimated", *rows, f"  {'total':34}{total(parts) / GB:8.2f} GB"]
