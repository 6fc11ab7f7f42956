"""Shapes of a run's batches, from the lengths of its clips by the batching of ``fla tune``."""

from collections.abc import Sequence
from dataclasses import dataclass

from transformers import PretrainedConfig

from ..finetune.config import TuneConfig
from ..llm.causal import CausalLM
from ..llm.seq2seq import Seq2SeqLM
from ..training.batches import make_batches
from .sequence_lengths import ClipLength, longest_of


@dataclass(frozen=True, kw_only=True)
class BatchShape:
    """One padded batch."""

    clips: int
    steps: tuple[int, ...]
    """Feature steps of each stream's longest clip."""
    projected: int
    """Positions of the projected features."""
    source: int
    """Positions that are read before the sentence: features and prompt."""
    labels: int
    """Tokens of the longest sentence."""
    whole: int
    """Positions of clip, prompt and sentence in one sequence; the end token is never read."""


def positions(
    lengths: Sequence[ClipLength], *, tune: TuneConfig, config: PretrainedConfig
) -> tuple[list[int], ...]:
    """Return the positions that the model of ``config`` reads of each clip; see :class:`.ConditionedLM`."""
    family = Seq2SeqLM if config.is_encoder_decoder else CausalLM
    sources = [shape_of([clip], tune=tune).source for clip in lengths]
    return family.positions(sources, [clip.labels for clip in lengths], [clip.prefix for clip in lengths])


def train_shapes(
    lengths: Sequence[ClipLength], *, tune: TuneConfig, config: PretrainedConfig
) -> list[BatchShape]:
    """Return the batches that a run with these settings makes of the training clips."""
    return _shapes(lengths, positions(lengths, tune=tune, config=config), tune=tune, seed=tune.seed)


def evaluation_shapes(lengths: Sequence[ClipLength], *, tune: TuneConfig) -> list[BatchShape]:
    """Return the batches in which such a run translates; sentences do not count there."""
    sources = [shape_of([clip], tune=tune).source for clip in lengths]
    return _shapes(lengths, (sources,), tune=tune, seed=0)


def _shapes(
    lengths: Sequence[ClipLength], sides: Sequence[Sequence[int]], *, tune: TuneConfig, seed: int
) -> list[BatchShape]:
    training = tune.training
    batches = make_batches(*sides, max_clips=training.batch_clips, max_steps=training.batch_tokens, seed=seed)
    return [shape_of([lengths[i] for i in batch], tune=tune) for batch in batches]


def shape_of(batch: Sequence[ClipLength], *, tune: TuneConfig) -> BatchShape:
    """Return the shape of one batch of these clips; each stream is rounded up to the stride by itself."""
    longest, stride = longest_of(batch), tune.projector.stride if tune.projector.kind == "conv" else 1

    def project(clip: ClipLength) -> int:
        return sum(-(-steps // stride) for steps in clip.steps)

    return BatchShape(
        clips=len(batch),
        steps=longest.steps,
        projected=project(longest),
        source=project(longest) + longest.prompt,
        labels=longest.labels,
        whole=max(project(clip) + clip.prompt + clip.labels - 1 for clip in batch),
    )
