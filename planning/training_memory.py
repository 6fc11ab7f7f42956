"""What one training step takes, moment by moment.

The fullest is the loss (logits, everything kept) or the backward pass of some layer: as activations and
copies go, gradients come.
"""

from collections.abc import Iterator
from dataclasses import dataclass

from ..llm.loss import BIASED, CHUNK_TOKENS, PLAIN, SCALED, SOFT_CAPPED
from .batch_shapes import BatchShape
from .layer_memory import Tower
from .memory import ModelMemory, Part, input_bytes, moving_parts, standing_parts
from .skeleton import depths
from .weights import moment_bytes

LOSS_BYTES = 12
"""Of each logit at one moment, at most, in bf16: counted while loss.py ran (planning/test_layers.py)."""
CAP_BYTES = 2  # more where logits are capped, counted alike
HEAD_BYTES = 6
"""Of each number of a trained head while the loss is passed back: its copy in bf16 and two gradients, which
are added up; counted in whole steps (planning/test_step.py)."""

Moment = dict[str, float]
"""Bytes by name of what is there at one time."""


@dataclass(frozen=True, kw_only=True)
class _Passed:
    """An encoder's or a decoder's layers in the backward pass of a batch."""

    kept: str
    """What its part of the plan is called."""
    bytes: float
    """Kept by all of its layers."""
    layers: int
    working: float
    """Taken on top by the layer that is passed back."""
    share: float
    """Of the trained numbers of all layers."""


def training_parts(model: ModelMemory, batch: BatchShape) -> list[Part]:
    """Return what one training step of ``batch`` takes."""
    towers = _towers(model, batch)
    loss = _inputs(model, batch) | {tower.kept: tower.bytes for tower in towers}
    loss["logits of the loss"] = _loss_bytes(model, batch)
    loss |= _earlier(model)
    features = {"projected features": 4 * batch.clips * batch.projected * model.config.hidden_size}
    moments = [loss | features | {"autocast's copies": model.copies}, *_backward(model, batch, towers)]
    if model.is_trained:
        head = {"head, passed back": HEAD_BYTES * model.weights.head}
        moments.append(loss | head | {"autocast's copies": _kept_copies(model)})
        words = 4 * model.weights.rows * model.config.hidden_size  # words that stand at several places add up
        added = {"gradients": model.gradients, "embedding's gradient, added up": words}
        moments.append(_earlier(model) | added)
    _, pages = moment_bytes(model.trained_sizes, optimiser=model.tune.training.optimiser)
    moments.append({"gradients": model.gradients, "optimiser's pages": pages})
    return [*standing_parts(model), *moving_parts(moments)]


def _backward(model: ModelMemory, batch: BatchShape, towers: list[_Passed]) -> Iterator[Moment]:
    """Yield the moments at which the last and the first layer of each tower are passed back."""
    again = "computed again" if model.tune.activation_checkpointing else "passed back"
    same = _inputs(model, batch) | {"its largest matrix, unpacked": model.weights.largest_matrix}
    before = 0.0
    for index, tower in enumerate(towers):
        waiting = {other.kept: other.bytes for other in towers[index + 1 :]}
        ends = ((tower.bytes, before), (tower.bytes / tower.layers, before + tower.share))
        for size, passed in ends:
            own = {tower.kept: size, f"one layer {again}": tower.working}
            copies = {"autocast's copies": (1 - passed) * _kept_copies(model)}
            yield same | waiting | own | copies | _gradients(model, passed=passed)
        before += tower.share


def _towers(model: ModelMemory, batch: BatchShape) -> list[_Passed]:
    """Return the towers in the order of the backward pass."""
    source, target = _positions(model, batch)
    encoder_layers, decoder_layers = depths(model.config)
    name = "checkpoints" if model.tune.activation_checkpointing else "activations"
    share = model.weights.decoder_share

    def passed(tower: Tower, kept: str, *, layers: int, share: float, at: tuple[int, int]) -> _Passed:
        each = layers * tower.layer(*at) + tower.outside(*at)
        working = batch.clips * tower.working(*at)
        return _Passed(kept=kept, bytes=batch.clips * each, layers=layers, working=working, share=share)

    if model.encoder is None:
        return [passed(model.decoder, name, layers=decoder_layers, share=share, at=(source, target))]
    return [
        passed(model.decoder, f"{name}, decoder", layers=decoder_layers, share=share, at=(source, target)),
        passed(model.encoder, f"{name}, encoder", layers=encoder_layers, share=1 - share, at=(source, 0)),
    ]


def _positions(model: ModelMemory, batch: BatchShape) -> tuple[int, int]:
    """Return positions of source and target; a decoder-only model has all in one sequence."""
    return (batch.whole, 0) if model.encoder is None else (batch.source, batch.labels + 1)


def _inputs(model: ModelMemory, batch: BatchShape) -> Moment:
    return {"projector and embeddings": input_bytes(model, batch)}


def _gradients(model: ModelMemory, *, passed: float) -> Moment:
    """Return the gradients once a share of the layers is passed back.

    Those of a trained head come first, of the embedding last.
    """
    head, embedding = 4 * model.weights.head, 4 * model.weights.embedding
    return _earlier(model) | {"gradients": head + passed * (model.gradients - head - embedding)}


def _earlier(model: ModelMemory) -> Moment:
    """Return the gradients of a step's earlier batches: set aside, in case this one does not fit."""
    return {"gradients of earlier batches": model.gradients} if model.tune.training.accumulate > 1 else {}


def _kept_copies(model: ModelMemory) -> float:
    """Return the copies that outlive the forward pass: what is computed again is copied again."""
    if model.tune.activation_checkpointing:
        return 0
    return model.copies - model.number_bytes * model.weights.head


def _loss_bytes(model: ModelMemory, batch: BatchShape) -> int:
    rows, labels = model.weights.rows, batch.clips * batch.labels
    kind = model.config.model_type
    each = LOSS_BYTES + (CAP_BYTES if kind in SOFT_CAPPED else 0)
    if kind in PLAIN | SOFT_CAPPED | BIASED | SCALED:
        return min(labels, CHUNK_TOKENS) * rows * each
    # Of an unknown head all logits are there.
    everywhere = labels if model.encoder is not None else batch.clips * batch.whole
    return rows * (2 * model.number_bytes * everywhere + each * labels)
