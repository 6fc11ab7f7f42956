"""Memory of a model and its settings before any batch is known. GB are 2**30 bytes, as on a card's label."""

from collections.abc import Mapping
from dataclasses import dataclass

import torch
from transformers import PretrainedConfig

from ..finetune.config import TuneConfig
from ..llm.load import without_fp16
from .layer_stack import LayerStack, Part, measure_stack
from .weights import Weights, measure_weights, moment_bytes, projector_sizes

GB = 2**30
CONTEXT_BYTES = GB // 2
"""CUDA's own memory before the first tensor, with cuBLAS' workspaces; differs by card and driver. Assumed."""
OVERHEAD = 0.05
"""Share of the bytes that come and go which the allocator cannot use again. Assumed."""

StepPhase = dict[str, float]
"""Bytes by name of what is on the device at one time."""


@dataclass(frozen=True, kw_only=True)
class ModelMemory:
    """Weights, layers and trained tensors of a run."""

    config: PretrainedConfig
    tune: TuneConfig
    weights: Weights
    stacks: dict[Part, LayerStack]
    """The decoder's layers, and those of the encoder where there is one."""
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
        """Bytes of the copies that autocast makes of trained weights."""
        return self.weights.copied * self.number_bytes if self.number_bytes < 4 else 0

    @property
    def standing(self) -> StepPhase:
        """What no batch changes, in training and in the evaluations between."""
        full = self.tune.train == "full"
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
    """Measure a model from its config; nothing of its size is allocated.

    Args:
        config: of the model.
        tune: the run's settings.
        feature_sizes: width of each stream's features.
        dtype: format of products.
        rows: tokens that a trimmed vocabulary keeps; None keeps all.
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
        projector=projector_sizes(
            tune.projector, feature_sizes=feature_sizes, embedding_size=config.hidden_size
        ),
        feature_sizes=feature_sizes,
        number_bytes=dtype.itemsize,
        held_bytes=held.itemsize,
    )


def fullest(standing: Mapping[str, float], *phases: Mapping[str, float]) -> dict[str, int]:
    """Return the parts of the fullest phase, with what stands and the allocator's overhead, in bytes."""
    moving = max(phases, key=lambda phase: sum(phase.values()))
    parts = {**standing, **moving} | {"allocator's overhead (assumed)": OVERHEAD * sum(moving.values())}
    return {name: round(size) for name, size in parts.items() if round(size)}


def total(parts: dict[str, int]) -> int:
    """Return the bytes of all parts."""
    return sum(parts.values())


def part_lines(title: str, parts: dict[str, int]) -> list[str]:
    """Return one line for each part, and their total."""
    rows = [f"  {name:34}{size / GB:8.2f} GB" for name, size in parts.items()]
    return [f"{title}, estimated", *rows, f"  {'total':34}{total(parts) / GB:8.2f} GB"]
