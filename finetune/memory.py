"""The memory of a tuning run, part by part: training one batch, and translating one.

GB are 2**30 bytes, as on a card's label. Parts that are never there at the same time (the loss, a layer
that is computed again) are all shown; only those of the fullest moment count.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from transformers import PretrainedConfig

from .batch_shapes import BatchShape
from .config import TuneConfig
from .layer_memory import Tower, UnmeasurableError, measure_tower
from .llm import NOT_IN_FP16
from .loss import BIASED, CHUNK_TOKENS, PLAIN, SCALED, SOFT_CAPPED
from .skeleton import depths
from .weights import Weights, measure_weights, stream_projector_sizes, trained_bytes

GB = 2**30
CONTEXT_BYTES = GB // 2
"""What CUDA takes before the first tensor, with cuBLAS' workspaces; differs by card and driver. Assumed."""
SLACK = 0.05
"""Share of what comes and goes that the allocator cannot use again. Assumed."""
LOSS_BYTES = 12
"""Of each logit at one moment, at most, in bf16: counted while loss.py ran (tests/finetune/test_plan.py)."""
CAP_BYTES = 2  # more where logits are capped, counted alike
SEARCH_BYTES = 16
"""Of each logit in the search: bf16, fp32, log-probabilities, scores of the beams."""


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
    feature_size: int
    """Of several streams, the widest's: every step is counted as one of its."""
    joined: bool
    """Whether several streams' projected features are put one behind the other: a copy."""
    number_bytes: int
    """Of one number in the format that is computed in."""


def measure_model(
    config: PretrainedConfig,
    *,
    tune: TuneConfig,
    feature_size: int,
    dtype: torch.dtype,
    further_sizes: tuple[int, ...] = (),
) -> ModelMemory:
    """Measure a model from its config; nothing of its size is allocated.

    ``further_sizes`` are the widths of streams after the first, each with a projector of its own.

    Raises:
        UnmeasurableError: the whole model is trained, or a layer's shapes depend on numbers.
    """
    if tune.train == "full":
        raise UnmeasurableError("Memory is not foretold of a run that trains the whole model (train: full).")
    if dtype == torch.float16 and config.model_type in NOT_IN_FP16:
        dtype = torch.float32
    how: dict[str, Any] = {"quantise": tune.quantise, "dtype": dtype, "lora": tune.lora}
    layers = {**how, "checkpointing": tune.activation_checkpointing}
    return ModelMemory(
        config=config,
        tune=tune,
        weights=measure_weights(config, **how),
        encoder=measure_tower(config, "encoder", **layers) if config.is_encoder_decoder else None,
        decoder=measure_tower(config, "decoder", **layers),
        projector=stream_projector_sizes(
            tune.projector, feature_sizes=(feature_size, *further_sizes), embedding_size=config.hidden_size
        ),
        feature_size=max((feature_size, *further_sizes)),
        joined=bool(further_sizes),
        number_bytes=dtype.itemsize,
    )


def total(parts: Iterable[Part]) -> int:
    """Return the bytes of the fullest moment."""
    return sum(part.bytes for part in parts if part.counted)


def standing_parts(model: ModelMemory, *, training: bool) -> list[Part]:
    """Return what is there whatever the batch."""
    lora, projector = model.weights.lora_sizes, model.projector
    trained, gradients, moments = trained_bytes((*lora, *projector), optimiser=model.tune.training.optimiser)
    parts = [
        Part(name="CUDA context (assumed)", bytes=CONTEXT_BYTES),
        Part(name=f"weights, {model.tune.quantise}", bytes=model.weights.quantised),
        Part(name="weights, not quantised", bytes=model.weights.rest),
        Part(name="LoRA and projector, fp32", bytes=trained),
        Part(name="optimiser", bytes=moments),
        Part(name="LoRA copies of autocast", bytes=sum(lora) * model.number_bytes),
    ]
    return [*parts, Part(name="gradients", bytes=gradients)] if training else parts


def training_parts(model: ModelMemory, batch: BatchShape) -> list[Part]:
    """Return what one training step of ``batch`` takes."""
    encoder_layers, decoder_layers = depths(model.config)
    source, target = _positions(model, batch)
    layers = decoder_layers * model.decoder.layer(source, target) + model.decoder.outside(source, target)
    working = model.decoder.working(source, target)
    if model.encoder is not None:
        layers += encoder_layers * model.encoder.layer(source) + model.encoder.outside(source)
        working = max(working, model.encoder.working(source))
    again = "one layer computed again" if model.tune.activation_checkpointing else "one layer's backward pass"
    kept = "checkpoints" if model.tune.activation_checkpointing else "activations"
    moments = [
        [(again, batch.clips * working), ("its largest matrix, unpacked", model.weights.largest_matrix)],
        [("logits of the loss", _loss_bytes(model, batch))],
    ]
    kept_parts = [(kept, batch.clips * layers), ("projector and embeddings", _input_bytes(model, batch))]
    return [*standing_parts(model, training=True), *_moving(kept_parts, moments)]


def generation_parts(model: ModelMemory, batch: BatchShape) -> list[Part]:
    """Return what the beam search of ``batch`` takes, in a run's evaluation: the optimiser is there too."""
    rows = batch.clips * model.tune.decoding.num_beams
    source, _ = _positions(model, batch, reading=True)
    reading = rows * model.decoder.reading(source, 1)
    if model.encoder is not None:
        states = 2 * rows * batch.source * model.config.hidden_size * model.number_bytes
        reading = max(batch.clips * model.encoder.reading(source), reading + states)
    cache = rows * cache_bytes(model, batch)
    moments = [
        [("reading features and prompt", reading)],
        [("logits of the beams", rows * model.config.vocab_size * SEARCH_BYTES)],
    ]
    kept = [
        ("keys and values, all beams", cache),
        ("one layer's, put in order", 2 * cache / depths(model.config)[1]),
        ("projector and embeddings", _input_bytes(model, batch)),
    ]
    matrix = [("largest matrix, unpacked", model.weights.largest_matrix)]
    return [*standing_parts(model, training=False), *_moving([*kept, *matrix], moments)]


def cache_bytes(model: ModelMemory, batch: BatchShape) -> int:
    """Return the bytes of one beam's keys and values; an encoder-decoder also keeps those of the source."""
    config, new = model.config, model.tune.decoding.max_new_tokens
    heads = getattr(config, "num_key_value_heads", None) or config.num_attention_heads
    width = getattr(config, "head_dim", None) or getattr(config, "d_kv", None)
    width = width or config.hidden_size // config.num_attention_heads
    return 2 * depths(config)[1] * heads * width * (batch.source + new) * model.number_bytes


def _positions(model: ModelMemory, batch: BatchShape, *, reading: bool = False) -> tuple[int, int]:
    """Return positions of source and target; a decoder-only model has all in one sequence."""
    if model.encoder is not None:
        return batch.source, batch.labels + 1
    return batch.source if reading else batch.whole, 0


def _loss_bytes(model: ModelMemory, batch: BatchShape) -> int:
    config, labels = model.config, batch.clips * batch.labels
    kind = config.model_type
    each = LOSS_BYTES + (CAP_BYTES if kind in SOFT_CAPPED else 0)
    if kind in PLAIN | SOFT_CAPPED | BIASED | SCALED:
        return min(labels, CHUNK_TOKENS) * config.vocab_size * each
    everywhere = (
        labels if model.encoder is not None else batch.clips * batch.whole
    )  # an unknown head: all its logits
    return config.vocab_size * (2 * model.number_bytes * everywhere + each * labels)


def _input_bytes(model: ModelMemory, batch: BatchShape) -> int:
    """Return the projector's activations in fp32, and the rows of embeddings before and after padding."""
    width, features = model.config.hidden_size, model.feature_size
    projector = model.tune.projector
    hidden = 8 * projector.hidden_size if projector.kind == "mlp" else 0
    per_step = 6 * features + hidden + (8 + 8 * model.joined + model.number_bytes) * width
    rows = 2 * model.number_bytes * width * (batch.source + batch.labels)
    return batch.clips * (batch.steps * per_step + rows)


def _moving(kept: Sequence[tuple[str, float]], moments: Sequence[Sequence[tuple[str, float]]]) -> list[Part]:
    """Return what comes and goes: ``kept``, all ``moments`` with the fullest counted, and the slack."""
    fullest = max(moments, key=lambda parts: sum(size for _, size in parts))
    parts = [Part(name=name, bytes=round(size)) for name, size in kept]
    for moment in moments:
        parts += [Part(name=name, bytes=round(size), counted=moment is fullest) for name, size in moment]
    return [*parts, Part(name="allocator's slack (assumed)", bytes=round(SLACK * total(parts)))]
