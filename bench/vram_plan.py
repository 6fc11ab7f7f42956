"""What `fla plan` foretells of the models and batches that bench/vram.py measures."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cache
from typing import Any

import torch
from vram_shapes import CORPORA, PRESETS, SHAPES, tiny

from fla_llm.configs import TUNE_PRESETS
from fla_llm.core.config import load_config
from fla_llm.finetune import config as tuning
from fla_llm.planning.batch_shapes import BatchShape
from fla_llm.planning.clip_lengths import ClipLength
from fla_llm.planning.demand import Demand, MemoryPlan
from fla_llm.planning.fit import plan_memory
from fla_llm.planning.memory import total
from fla_llm.planning.plan import FEATURE_SIZE
from fla_llm.planning.skeleton import config_from
from fla_llm.planning.weights import measure_weights

NO_BOUND = 2**60


@dataclass(frozen=True, kw_only=True)
class Foretold:
    """A plan's figures for one model and the batches of one corpus, by length."""

    weights_bytes: int
    training_bytes: Mapping[str, int]
    generation_bytes: Mapping[str, int]

    @property
    def bytes(self) -> int:
        """Bytes at the fullest moment of all, CUDA's context included."""
        return max(*self.training_bytes.values(), *self.generation_bytes.values())


def settings_of(name: str) -> tuning.TuneConfig:
    """Return the settings a model is planned and measured with."""
    return load_config(
        tuning.TuneConfig, base=tuning.TuneConfig(), presets=TUNE_PRESETS, source=PRESETS[name]
    )


def shape_of(name: str, *, small: bool) -> dict[str, Any]:
    """Return a model's shape, or that of a small one of its architecture."""
    return tiny(SHAPES[name]) if small else SHAPES[name]


def demand_of(
    name: str, clips: Sequence[ClipLength], *, tune: tuning.TuneConfig, small: bool = False
) -> Demand:
    """Return a run on clips of these lengths, in bf16."""
    return Demand(
        config=config_from(shape_of(name, small=small), name=name), tune=tune, feature_size=FEATURE_SIZE,
        dtype=torch.bfloat16, train=clips, dev=clips,
    )  # fmt: skip


@dataclass(frozen=True, kw_only=True)
class Batches:
    """The fullest batches that a run makes of clips of one length."""

    train: BatchShape
    search: BatchShape
    """What is translated at a time: sentences take no room in it, so it may hold more clips."""

    @classmethod
    def from_dict(cls, entries: Mapping[str, Mapping[str, Any]]) -> "Batches":
        """Return what ``asdict`` made these entries of."""
        return cls(**{name: _from_json(shape) for name, shape in entries.items()})


def _from_json(shape: Mapping[str, Any]) -> BatchShape:
    further = tuple(shape.get("further_steps", ()))  # a list in JSON
    return BatchShape(**{**shape, "further_steps": further})


def batches_of(name: str, corpus: str) -> dict[str, Batches]:
    """Return the batches of each of a corpus' lengths."""
    tune = settings_of(name)
    clips = {length: [clip] * tune.training.batch_clips for length, clip in CORPORA[corpus].items()}
    demands = {length: demand_of(name, row, tune=tune) for length, row in clips.items()}
    return {
        length: Batches(train=demand.train_shapes[0], search=demand.evaluation_shapes[0])
        for length, demand in demands.items()
    }


def foretell(
    name: str, batches: Mapping[str, Batches], *, dtype: torch.dtype = torch.bfloat16, small: bool = False
) -> Foretold:
    """Plan one run for each length, searching as far as its sentences go."""
    plans = {length: _plan(name, both, dtype, small) for length, both in batches.items()}
    tune = settings_of(name)
    config = config_from(shape_of(name, small=small), name=name)
    weights = measure_weights(config, quantise=tune.quantise, dtype=dtype, lora=tune.lora)
    return Foretold(
        weights_bytes=weights.total,
        training_bytes={length: total(plan.training) for length, plan in plans.items()},
        generation_bytes={length: total(plan.generation) for length, plan in plans.items()},
    )


@cache
def _plan(name: str, batches: Batches, dtype: torch.dtype, small: bool) -> MemoryPlan:
    """Plan a run that makes these batches and no others, whatever bounds the preset sets."""
    tune, train, search = settings_of(name), batches.train, batches.search
    tune = replace(
        tune,
        training=replace(tune.training, batch_clips=max(train.clips, search.clips), batch_tokens=NO_BOUND),
        decoding=replace(tune.decoding, max_new_tokens=search.labels),
    )
    clip = ClipLength(steps=train.steps, labels=train.labels)
    demand = demand_of(name, [clip] * train.clips, tune=tune, small=small)
    return plan_memory(replace(demand, dtype=dtype, dev=[clip] * search.clips), room=NO_BOUND)
