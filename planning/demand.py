"""A run as memory sees it, and what its largest batches take."""

from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from typing import Any

import torch
from transformers import PretrainedConfig

from ..finetune.config import TuneConfig
from .batch_shapes import BatchShape, evaluation_shapes, positions, shape_of, train_shapes
from .clip_lengths import ClipLength, longest_of
from .generation_memory import generation_parts, loading_parts
from .memory import ModelMemory, Part, measure_model, total
from .training_memory import training_parts

MOST_CLIPS = 4096  # a batch that large needs no exact answer


@dataclass(frozen=True, kw_only=True)
class MemoryPlan:
    """What a run takes at its fullest, on a GPU of ``room`` bytes."""

    training: list[Part]
    generation: list[Part]
    loading: list[Part]
    """Of a model whose vocabulary is trimmed, which is whole until then; else empty."""
    room: int
    quartiles: tuple[int, int, int]
    """Bytes of training by batch: the median one, the 95th percentile, the largest."""
    largest_batch: BatchShape | None
    """As many of the longest clips as fit in training; None if not one does."""
    largest_batch_tokens: int
    """Positions of that batch, as ``training.batch_tokens`` counts them."""
    remedies: tuple[str, ...] = ()
    """What to change, in this order, until it fits."""

    @property
    def bytes(self) -> int:
        """Bytes at the fullest moment of the run."""
        return max(map(total, (self.training, self.generation, self.loading)))

    @property
    def fits(self) -> bool:
        """Whether the run fits."""
        return self.bytes <= self.room

    def to_dict(self) -> dict[str, Any]:
        """Return plain values, as JSON has them."""
        own = {"bytes": self.bytes, "fits": self.fits, "spare_bytes": self.room - self.bytes}
        return own | asdict(self)


@dataclass(frozen=True, kw_only=True)
class Demand:
    """A run as memory sees it."""

    config: PretrainedConfig
    tune: TuneConfig
    feature_size: int
    """Of several streams, the first's."""
    dtype: torch.dtype
    train: Sequence[ClipLength]
    dev: Sequence[ClipLength]
    """What is translated in evaluation."""
    further_sizes: tuple[int, ...] = ()
    """Widths of the streams after the first."""
    rows: int | None = None
    """Tokens that a trimmed vocabulary keeps; None: not known, or not trimmed, and all are counted."""

    @property
    def train_shapes(self) -> list[BatchShape]:
        """The batches of training."""
        return train_shapes(self.train, tune=self.tune, config=self.config)

    @property
    def evaluation_shapes(self) -> list[BatchShape]:
        """The batches of evaluation."""
        return evaluation_shapes(self.dev, tune=self.tune)

    def longest_tokens(self, clips: Sequence[ClipLength]) -> int:
        """Return the positions of a clip as long as the longest of ``clips`` in everything."""
        return sum(map(sum, positions([longest_of(clips)], tune=self.tune, config=self.config)))

    def with_settings(self, **settings: Any) -> "Demand":
        """Return the same run with other settings of ``tune``."""
        return replace(self, tune=replace(self.tune, **settings))


def plan_once(demand: Demand, room: int) -> MemoryPlan:
    """Return the plan of a run on a GPU of ``room`` bytes, without remedies."""
    model = measure_model(
        demand.config, tune=demand.tune, feature_size=demand.feature_size, dtype=demand.dtype,
        further_sizes=demand.further_sizes, rows=demand.rows,
    )  # fmt: skip
    trained = sorted((training_parts(model, shape) for shape in demand.train_shapes), key=total)
    searched = max((generation_parts(model, shape) for shape in demand.evaluation_shapes), key=total)
    last, largest = len(trained) - 1, _largest_batch(model, demand, room)
    return MemoryPlan(
        training=trained[last],
        generation=searched,
        loading=loading_parts(model),
        room=room,
        quartiles=(total(trained[last // 2]), total(trained[round(0.95 * last)]), total(trained[last])),
        largest_batch=largest,
        largest_batch_tokens=largest.clips * demand.longest_tokens(demand.train) if largest else 0,
    )


def _largest_batch(model: ModelMemory, demand: Demand, room: int) -> BatchShape | None:
    """Return the most clips, each as long as the longest in everything, that fit in training."""
    one = shape_of([longest_of(demand.train)], tune=demand.tune)
    fits, too_many = 0, MOST_CLIPS + 1
    while too_many - fits > 1:
        clips = (fits + too_many) // 2
        if total(training_parts(model, replace(one, clips=clips))) <= room:
            fits = clips
        else:
            too_many = clips
    return replace(one, clips=fits) if fits else None
