"""``fla plan`` of stage two: memory and hours of a run, for people and as plain values."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from transformers import PretrainedConfig

from ..cache.reader import splits_in
from ..core.device import resolve_device
from ..core.errors import ConfigError
from ..finetune.config import TuneConfig
from ..finetune.data import FeatureItems, open_caches
from .gpu import device_name, gpu_bytes, planned_dtype
from .hours import Hours, estimate_hours
from .memory import part_lines, verdict
from .model_shapes import read_config
from .probe import Probed, probe_run
from .remedies import plan_memory
from .run_spec import MemoryPlan, RunSpec, run_on_clips
from .sequence_lengths import PHOENIX_STEPS, PHOENIX_WORDS, assumed_lengths

FEATURE_SIZE = 512  # of ResNet-18's features, where there is no cache to ask


@dataclass(frozen=True, kw_only=True)
class Lengths:
    """Source of the lengths of clips and sentences: caches, or assumed numbers."""

    features: Sequence[Path] = ()
    steps: int | None = None
    """Steps of the longest clip. None takes the longest clip of PHOENIX14T."""
    words: int | None = None
    """Words of the longest sentence. None takes the longest sentence of PHOENIX14T."""


@dataclass(frozen=True, kw_only=True)
class PlanReport:
    """A plan of stage two, with sources."""

    plan: MemoryPlan
    lengths: str
    hours: Hours | None
    """None where the clips are not known."""
    probed: Probed | None = None

    @property
    def fits(self) -> bool:
        """Whether the run fits: by the measured step, or by the estimate without a probe."""
        return self._bytes <= self.plan.room

    @property
    def _bytes(self) -> int:
        return self.plan.bytes if self.probed is None else self.probed.bytes

    def to_dict(self) -> dict[str, Any]:
        """Return plain values for JSON."""
        plan = self.plan
        found: dict[str, Any] = {
            "stage": "tune", "bytes": plan.bytes, "fits": self.fits, "spare_bytes": plan.room - self._bytes,
            "room": plan.room, "training": plan.training, "generation": plan.generation,
            "loading": plan.loading, "remedies": list(plan.remedies), "lengths": self.lengths,
        }  # fmt: skip
        if self.probed is not None:
            found["probed_bytes"] = self.probed.bytes
        return found | ({} if self.hours is None else self.hours.to_dict())

    def describe(self) -> str:
        """Return the plan for people."""
        plan = self.plan
        blocks = {"loading": plan.loading, "training": plan.training, "generation": plan.generation}
        lines = [line for title, parts in blocks.items() if parts for line in (*part_lines(title, parts), "")]
        lines.append(f"Lengths: {self.lengths}.")
        lines += [] if self.hours is None else [self.hours.describe()]
        lines += [] if self.probed is None else [self.probed.describe(plan)]
        basis = "by an estimate" if self.probed is None else "by measurement"
        lines.append(verdict(self._bytes, plan.room, basis=basis))
        return "\n".join([*lines, *plan.remedies])


def plan_tune(
    llm: str, *, config: TuneConfig, lengths: Lengths, vram_gb: float | None, device: str,
    card: str | None = None, probe: bool = False,
) -> PlanReport:  # fmt: skip
    """Plan a run on the language model ``llm``.

    Args:
        llm: an id, a directory, or a ``config.json``.
        config: settings of the run.
        lengths: source of the lengths of clips and sentences.
        vram_gb: memory of the GPU. None asks the device.
        device: a name for :func:`resolve_device`.
        card: name of the GPU for the throughput. None asks the device.
        probe: run a real step too.

    Raises:
        ConfigError: no ``vram_gb`` and no CUDA device, or a probe without CUDA device or caches.
        ModelError: the model does not exist, or cannot be tuned.
        CacheError: a cache cannot be read.
    """
    local = resolve_device(device)
    if probe:
        # Refuse before the config is fetched and the caches are read.
        _check_probe(local, lengths)
    room = gpu_bytes(vram_gb, local)
    model_config = read_config(llm)
    dtype = planned_dtype(config.training, local)
    if not lengths.features:
        run, source = _assumed_run(lengths, config, model_config, dtype)
        return PlanReport(plan=plan_memory(run, room=room), lengths=source, hours=None)
    train, dev = _open_splits(lengths.features, config)
    run = run_on_clips(train, dev, llm=llm, config=model_config, tune=config, dtype=dtype)
    plan = plan_memory(run, room=room)
    hours = estimate_hours(
        run.epoch_flops, card=card or device_name(local), steps=run.steps_per_epoch,
        epochs=config.training.epochs, left_out="evaluations",
    )  # fmt: skip
    translated = train if dev is None else dev
    probed = probe_run(train, translated, llm=llm, config=config, device=local) if probe else None
    return PlanReport(
        plan=plan, lengths=_describe(run, train), hours=hours if probed is None else probed.hours(run),
        probed=probed,
    )  # fmt: skip


def _check_probe(device: torch.device, lengths: Lengths) -> None:
    if device.type != "cuda":
        raise ConfigError(f"--probe must run on a CUDA device, but --device is {device.type}.\nLeave it out.")
    if not lengths.features:
        raise ConfigError("--probe must have --features, but has none.\nGive a cache.")


def _open_splits(features: Sequence[Path], config: TuneConfig) -> tuple[FeatureItems, FeatureItems | None]:
    """Open train, and dev where a cache has this split."""
    train = FeatureItems(open_caches(features, "train"), view_seed=config.seed)
    has_dev = any("dev" in splits_in(folder) for folder in features)
    return train, FeatureItems(open_caches(features, "dev")) if has_dev else None


def _assumed_run(
    lengths: Lengths, config: TuneConfig, model_config: PretrainedConfig, dtype: torch.dtype
) -> tuple[RunSpec, str]:
    steps, words = lengths.steps or PHOENIX_STEPS, lengths.words or PHOENIX_WORDS
    # A full batch of the longest clips is the upper bound of memory.
    clips = assumed_lengths(steps, words, clips=config.training.batch_clips, tune=config)
    run = RunSpec(
        config=model_config, tune=config, feature_sizes=(FEATURE_SIZE,), dtype=dtype, train=clips, dev=clips
    )
    own = "" if lengths.steps and lengths.words else ", PHOENIX14T's longest where not given"
    return run, f"every clip {steps} steps and {words} words{own} (assumed){_vocabulary(run)}"


def _describe(run: RunSpec, train: FeatureItems) -> str:
    source = "the model's tokenizer" if run.is_exact else "a token is 3 bytes of text (assumed)"
    return f"{len(train)} clips of the cache, up to {max(train.lengths)} steps; {source}{_vocabulary(run)}"


def _vocabulary(run: RunSpec) -> str:
    if not run.tune.trim_vocab:
        return ""
    if run.rows is not None:
        return f"; {run.rows} of {run.config.vocab_size} tokens are kept"
    return f"; all {run.config.vocab_size} tokens are counted: give --features and a model with its tokenizer"
