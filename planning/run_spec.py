"""Description of a run of stage two for estimates of memory and time."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import torch
from transformers import PretrainedConfig

from ..finetune.config import TuneConfig
from ..finetune.data import FeatureItems
from ..finetune.task_passes import places_of
from .batch_shapes import BatchShape, evaluation_shapes, positions, train_shapes
from .memory import ModelMemory, measure_model, total
from .sequence_lengths import ClipLength, TokenCounter, longest_of
from .step_memory import forward_flops, generation_parts, loading_parts, training_parts


@dataclass(frozen=True, kw_only=True)
class RunSpec:
    """The model, the settings and the clips of a run."""

    config: PretrainedConfig
    tune: TuneConfig
    feature_sizes: tuple[int, ...]
    """Width of each stream."""
    dtype: torch.dtype
    train: Sequence[ClipLength]
    dev: Sequence[ClipLength]
    """Clips of the evaluations."""
    rows: int | None = None
    """Number of tokens of a trimmed vocabulary. None counts all tokens."""
    is_exact: bool = False
    """Whether the tokenizer of the model counted the lengths, so the batches are exact."""

    @property
    def model(self) -> ModelMemory:
        """The model's memory before any batch."""
        return measure_model(
            self.config, tune=self.tune, feature_sizes=self.feature_sizes, dtype=self.dtype, rows=self.rows
        )

    @property
    def train_shapes(self) -> list[BatchShape]:
        """The batches of training."""
        return train_shapes(self.train, tune=self.tune, config=self.config)

    @property
    def evaluation_shapes(self) -> list[BatchShape]:
        """The batches of evaluation."""
        return evaluation_shapes(self.dev, tune=self.tune)

    @property
    def epoch_flops(self) -> float:
        """FLOPs of an epoch of training, all passes counted."""
        model = self.model
        forward = sum(forward_flops(model, shape) for shape in self.train_shapes)
        # Frozen weights need no gradients of their own: their backward pass is one forward pass, not two.
        backward = 2 if self.tune.train == "full" else 1
        return forward * (1 + backward + self.tune.activation_checkpointing)

    @property
    def steps_per_epoch(self) -> int:
        """Optimiser steps of an epoch on a single GPU."""
        return -(-len(self.train_shapes) // self.tune.training.accumulate)

    def longest_tokens(self, clips: Sequence[ClipLength]) -> int:
        """Return the positions of a clip with the maximum of ``clips`` in every length."""
        return sum(map(sum, positions([longest_of(clips)], tune=self.tune, config=self.config)))

    def with_settings(self, **settings: Any) -> "RunSpec":
        """Return the same run with other settings of ``tune``."""
        return replace(self, tune=replace(self.tune, **settings))


@dataclass(frozen=True, kw_only=True)
class MemoryPlan:
    """Estimated peak memory of a run, on a GPU of ``room`` bytes."""

    training: dict[str, int]
    """Bytes by name."""
    generation: dict[str, int]
    loading: dict[str, int]
    """Bytes while a model is loaded and trimmed. Empty without trimming."""
    room: int
    remedies: tuple[str, ...] = ()
    """Settings to change, in this order, until the run fits."""

    @property
    def bytes(self) -> int:
        """Bytes at the fullest moment of the run."""
        return max(map(total, (self.training, self.generation, self.loading)))

    @property
    def fits(self) -> bool:
        """Whether the run fits."""
        return self.bytes <= self.room


def plan_once(run: RunSpec, room: int) -> MemoryPlan:
    """Return the plan of a run on a GPU of ``room`` bytes, without remedies."""
    model = run.model
    return MemoryPlan(
        # Many batches have the same shape: each shape is estimated once.
        training=max((training_parts(model, shape) for shape in set(run.train_shapes)), key=total),
        generation=max((generation_parts(model, shape) for shape in set(run.evaluation_shapes)), key=total),
        loading=loading_parts(model),
        room=room,
    )


def run_on_clips(
    train: FeatureItems, dev: FeatureItems | None, *, llm: str, config: PretrainedConfig, tune: TuneConfig,
    dtype: torch.dtype,
) -> RunSpec:  # fmt: skip
    """Return the run of ``fla tune`` on clips of caches. Without dev, the training clips are translated.

    Raises:
        ModelError: no tokenizer lies beside the config.
    """
    counter = TokenCounter(llm, config, tune=tune, train=train)
    lengths = counter.lengths(train)
    places = places_of(train.tasks, train.lengths, tune.training.passes_by_task)
    return RunSpec(
        config=config, tune=tune, feature_sizes=train.feature_sizes, dtype=dtype,
        train=[longest_of([lengths[clip] for clip in place]) for place in places],
        dev=lengths if dev is None else counter.lengths(dev), rows=counter.kept_rows(train),
        is_exact=counter.is_exact,
    )  # fmt: skip
