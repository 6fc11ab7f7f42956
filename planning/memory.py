"""What is known of a model's memory before any batch, and what stands whatever the batch.

GB are 2**30 bytes, as on a card's label.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from transformers import PretrainedConfig

from ..finetune.config import TuneConfig
from ..llm.load import without_fp16
from .batch_shapes import BatchShape
from .layer_memory import Tower, measure_tower
from .weights import Weights, measure_weights, moment_bytes, stream_projector_sizes

GB = 2**30
CONTEXT_BYTES = GB // 2
"""What CUDA takes before the first tensor, with cuBLAS' workspaces; differs by card and driver. Assumed."""
SLACK = 0.05
"""Share of what comes and goes that the allocator cannot use again. Assumed."""


@dataclass(frozen=True, kw_only=True)
class Part:
    """One line of the plan."""

    name: str
    bytes: int
    counted: bool = True
    """Whether it is there at the fullest moment."""


@dataclass(frozen=True, kw_only=True)
class ModelMemory:
    """All that is known of a model and its settings before any batch."""

    config: PretrainedConfig
    tune: TuneConfig
    weights: Weights
    encoder: Tower | None
    decoder: Tower
    projector: tuple[int, ...]
    """Numbers in each tensor of all streams' projectors."""
    feature_sizes: tuple[int, ...]
    """Width of each stream."""
    number_bytes: int
    """Of one number in the format that is computed in."""
    held_bytes: int
    """Of one number of a word's embedding: fp32 where the model is trained."""

    @property
    def is_trained(self) -> bool:
        """Whether the language model's own weights are trained."""
        return self.tune.train == "full"

    @property
    def trained_sizes(self) -> tuple[int, ...]:
        """Numbers in each tensor that is trained."""
        projector = () if self.tune.train == "lora" else self.projector
        return (*self.weights.lora_sizes, *self.weights.own_sizes, *projector)

    @property
    def gradients(self) -> int:
        """Bytes of all gradients, fp32."""
        return 4 * sum(self.trained_sizes)

    @property
    def copies(self) -> int:
        """Bytes of trained weights in the format that is computed in, as autocast keeps them."""
        return self.weights.copied * self.number_bytes if self.number_bytes < 4 else 0


def measure_model(
    config: PretrainedConfig,
    *,
    tune: TuneConfig,
    feature_size: int,
    dtype: torch.dtype,
    further_sizes: tuple[int, ...] = (),
    rows: int | None = None,
) -> ModelMemory:
    """Measure a model from its config; nothing of its size is allocated.

    Args:
        config: of the model.
        tune: the run's settings.
        feature_size: width of a feature, of several streams the first's.
        dtype: what is computed in.
        further_sizes: widths of streams after the first, each with a projector of its own.
        rows: tokens that a trimmed vocabulary keeps; None keeps all.

    Raises:
        UnmeasurableError: a layer's shapes depend on numbers.
    """
    dtype = without_fp16(dtype, config.model_type)
    full = tune.train == "full"
    held = torch.float32 if full else dtype
    how: dict[str, Any] = {
        "quantise": tune.quantise,
        "lora": tune.lora if tune.train in ("lora", "lora+projector") else None,
        "full": full,
    }
    layers = {**how, "dtype": dtype, "checkpointing": tune.activation_checkpointing}
    sizes = (feature_size, *further_sizes)
    return ModelMemory(
        config=config,
        tune=tune,
        weights=measure_weights(config, **how, dtype=held, rows=rows),
        encoder=measure_tower(config, "encoder", **layers) if config.is_encoder_decoder else None,
        decoder=measure_tower(config, "decoder", **layers),
        projector=stream_projector_sizes(
            tune.projector, feature_sizes=sizes, embedding_size=config.hidden_size
        ),
        feature_sizes=sizes,
        number_bytes=dtype.itemsize,
        held_bytes=held.itemsize,
    )


def total(parts: Iterable[Part]) -> int:
    """Return the bytes of the fullest moment."""
    return sum(part.bytes for part in parts if part.counted)


def standing_parts(model: ModelMemory) -> list[Part]:
    """Return what is there whatever the batch, in training and in the evaluations between."""
    weights = model.weights
    moments, _ = moment_bytes(model.trained_sizes, optimiser=model.tune.training.optimiser)
    parts = {
        "CUDA context (assumed)": CONTEXT_BYTES,
        f"weights, {model.tune.quantise}": weights.quantised,
        "weights, trained" if model.is_trained else "weights, not quantised": weights.rest,
        "LoRA and projector, fp32": 4 * sum((*weights.lora_sizes, *model.projector)),
        "optimiser": moments,
    }
    return [Part(name=name, bytes=size) for name, size in parts.items() if size]


def input_bytes(model: ModelMemory, batch: BatchShape) -> int:
    """Return what projectors keep of a batch in fp32, and the padded embeddings."""
    width, projector = model.config.hidden_size, model.tune.projector
    hidden = 8 * projector.hidden_size * (projector.kind != "linear")
    streams = zip(model.feature_sizes, batch.stream_steps, strict=True)
    read = 4 * sum(size * steps for size, steps in streams)
    projected = batch.projected * (hidden + 4 * width)
    rows = model.held_bytes * width * (batch.source if model.encoder is not None else batch.whole)
    return batch.clips * (read + projected + rows)


def moving_parts(moments: Sequence[Mapping[str, float]]) -> list[Part]:
    """Return what comes and goes, and the allocator's slack.

    Args:
        moments: bytes by name of what is there at one time. All names are shown, with their bytes at the
            fullest moment; what is not there then is shown at its largest, and does not count.
    """
    fullest = max(moments, key=lambda moment: sum(moment.values()))
    largest = {name: max(m.get(name, 0) for m in moments) for moment in moments for name in moment}
    parts = [
        Part(name=name, bytes=round(fullest.get(name, size)), counted=name in fullest)
        for name, size in largest.items()
    ]
    slack = Part(name="allocator's slack (assumed)", bytes=round(SLACK * total(parts)))
    return [part for part in (*parts, slack) if part.bytes]
