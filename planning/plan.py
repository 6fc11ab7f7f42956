"""``fla plan``: what a run would take on a GPU, for people and as plain values."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from transformers import PretrainedConfig

from ..cache.reader import splits_in
from ..core.device import resolve_device, resolve_dtype
from ..core.errors import ConfigError
from ..finetune.config import TuneConfig
from ..finetune.data import FeatureItems, open_caches
from .clip_lengths import PHOENIX_STEPS, PHOENIX_WORDS, ClipLength, assumed_lengths, cached_lengths
from .demand import Demand, MemoryPlan
from .fit import plan_memory
from .kept_tokens import count_kept
from .memory import GB, Part, total
from .probe import Probed, probe_run
from .skeleton import read_config

FEATURE_SIZE = 512  # of ResNet-18's features, where there is no cache to ask


@dataclass(frozen=True, kw_only=True)
class Lengths:
    """Where the lengths of clips and sentences come from: caches, or assumed."""

    features: Sequence[Path] = ()
    steps: int | None = None
    """Of the longest clip; None is PHOENIX14T's."""
    words: int | None = None
    """Of the longest sentence; None is PHOENIX14T's."""


@dataclass(frozen=True, kw_only=True)
class Report:
    """A plan, and what it stands on."""

    plan: MemoryPlan
    lengths: str
    probed: Probed | None = None

    @property
    def fits(self) -> bool:
        """Whether the run fits; what a real step took counts for more than the plan."""
        return self._bytes <= self.plan.room

    @property
    def _bytes(self) -> int:
        return self.plan.bytes if self.probed is None else self.probed.bytes

    def to_dict(self) -> dict[str, Any]:
        """Return plain values, as JSON has them."""
        probed = None if self.probed is None else {"probed_bytes": self.probed.bytes}
        return self.plan.to_dict() | {"lengths": self.lengths, "fits": self.fits} | (probed or {})

    def describe(self) -> str:
        """Return the plan for people."""
        plan, batch = self.plan, self.plan.largest_batch
        blocks = {"loading": plan.loading, "training": plan.training, "generation": plan.generation}
        lines = [
            line for title, parts in blocks.items() if parts for line in (*_part_lines(title, parts), "")
        ]
        median, most, _ = (f"{size / GB:.1f}" for size in plan.quartiles)
        lines.append(f"Half of the training batches stay below {median} GB, 95 % below {most} GB.")
        lines.append(f"Lengths: {self.lengths}.")
        if self.probed is not None:
            lines.append(self.probed.describe(plan))
        spare = (plan.room - self._bytes) / GB
        verdict = f"yes, {spare:.1f} GB to spare" if self.fits else f"no, {-spare:.1f} GB too much"
        lines.append(f"Fits in {plan.room / GB:g} GB: {verdict}.")
        if batch is not None:
            lines.append(
                f"Largest batch in training: {batch.clips} clips of the longest "
                f"(training.batch_tokens {plan.largest_batch_tokens})."
            )
        return "\n".join([*lines, *plan.remedies])


def plan_run(
    llm: str, *, config: TuneConfig, lengths: Lengths, vram_gb: float | None, device: str, probe: bool = False
) -> Report:
    """Plan a run on the language model ``llm``.

    Args:
        llm: an id, a directory, or a ``config.json``.
        config: the run's settings.
        lengths: of its clips.
        vram_gb: the GPU's memory; None asks the device.
        device: as :func:`resolve_device` takes it.
        probe: run one real step too.

    Raises:
        ConfigError: no ``vram_gb`` and no CUDA device, or a probe without one.
        ModelError, CacheError: as their sentences say.
    """
    place = resolve_device(device)
    if probe:
        _check_probe(place, lengths)
    room = _room(vram_gb, place)
    model_config = read_config(llm)
    train, dev, sizes, said = _clips(lengths, config)
    rows = _kept_rows(lengths, llm=llm, model_config=model_config, config=config)
    if config.trim_vocab:
        said += f"; {_said_of_vocabulary(rows, model_config.vocab_size)}"
    demand = Demand(
        config=model_config, tune=config, feature_size=sizes[0],
        dtype=planned_dtype(config, place), train=train, dev=dev, further_sizes=sizes[1:], rows=rows,
    )  # fmt: skip
    probed = probe_run(lengths.features, llm=llm, config=config, device=place) if probe else None
    return Report(plan=plan_memory(demand, room=room), lengths=said, probed=probed)


def planned_dtype(config: TuneConfig, device: torch.device) -> torch.dtype:
    """Return what is computed in: ``auto`` is bf16 for a GPU that is not here."""
    away = device.type != "cuda" and config.training.precision == "auto"
    return torch.bfloat16 if away else resolve_dtype(config.training.precision, device)


def _check_probe(device: torch.device, lengths: Lengths) -> None:
    if device.type != "cuda":
        raise ConfigError(f"--probe must run on a CUDA device, but --device is {device.type}.\nLeave it out.")
    if not lengths.features:
        raise ConfigError("--probe must have --features, but has none.\nGive a cache.")


def _room(vram_gb: float | None, device: torch.device) -> int:
    if vram_gb is not None:
        return round(vram_gb * GB)
    if device.type != "cuda":
        raise ConfigError(
            f"--vram must be given where there is no CUDA device, but --device is {device.type}."
        )
    return torch.cuda.get_device_properties(device).total_memory


def _clips(
    lengths: Lengths, config: TuneConfig
) -> tuple[list[ClipLength], list[ClipLength], tuple[int, ...], str]:
    """Return the clips of train and dev, each stream's width, and where all that is from."""
    if not lengths.features:
        steps, words = lengths.steps or PHOENIX_STEPS, lengths.words or PHOENIX_WORDS
        clips = assumed_lengths(steps, words, clips=config.training.batch_clips)
        own = "" if lengths.steps and lengths.words else ", PHOENIX14T's longest where not given"
        return clips, clips, (FEATURE_SIZE,), f"every clip {steps} steps and {words} words{own} (assumed)"
    train = FeatureItems(open_caches(lengths.features, "train"))
    has_dev = any("dev" in splits_in(folder) for folder in lengths.features)
    dev = FeatureItems(open_caches(lengths.features, "dev")) if has_dev else None
    clips, translated = cached_lengths(train, dev, tune=config)
    longest = max(train.lengths)
    said = f"{len(clips)} clips of the cache, up to {longest} steps; a token is 3 bytes of text (assumed)"
    return clips, translated, train.feature_sizes, said


def _kept_rows(
    lengths: Lengths, *, llm: str, model_config: PretrainedConfig, config: TuneConfig
) -> int | None:
    if not lengths.features:
        return None
    train = FeatureItems(open_caches(lengths.features, "train"))
    return count_kept(train, llm=llm, model_config=model_config, config=config)


def _said_of_vocabulary(rows: int | None, whole: int) -> str:
    if rows is not None:
        return f"{rows} of {whole} tokens are kept"
    return f"all {whole} tokens are counted: which are kept, --features and the model's tokenizer tell"


def _part_lines(title: str, parts: Sequence[Part]) -> list[str]:
    rows = [
        f"  {part.name:32}{part.bytes / GB:8.2f} GB{'' if part.counted else '  at another moment'}"
        for part in parts
    ]
    return [title, *rows, f"  {'total':32}{total(parts) / GB:8.2f} GB"]
