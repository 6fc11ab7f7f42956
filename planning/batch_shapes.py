"""How large the batches of a run are, from the lengths of its clips."""

from collections.abc import Sequence
from dataclasses import dataclass, replace

from transformers import PretrainedConfig

from ..finetune.config import TuneConfig
from ..llm.causal import CausalLM
from ..llm.seq2seq import Seq2SeqLM
from ..training.batches import make_batches
from .clip_lengths import ClipLength, assumed_prompt, longest_of

PREFIX_TOKENS = 2
"""First tokens of a decoder: mBART-50 and NLLB start from ``</s>`` and the language, the most of any."""


@dataclass(frozen=True, kw_only=True)
class BatchShape:
    """One batch, padded."""

    clips: int
    steps: int
    """Feature steps of the longest clip, of several streams the first's."""
    prompt: int
    """Tokens of the prompt, and of what stands before the features."""
    labels: int
    """Tokens of the longest sentence."""
    further_steps: tuple[int, ...] = ()
    """Feature steps of the streams after the first: each is padded to its own longest."""
    stride: int = 1
    """Feature steps that the projector turns into one."""
    sequence: int | None = None
    """Positions of clip, prompt and sentence at most; None: the longest clip has the longest sentence."""

    @property
    def stream_steps(self) -> tuple[int, ...]:
        """Feature steps of each stream."""
        return (self.steps, *self.further_steps)

    @property
    def projected(self) -> int:
        """What the projectors make of the longest clip's steps; one that is longest in all streams."""
        return sum(-(-steps // self.stride) for steps in self.stream_steps)

    @property
    def source(self) -> int:
        """Positions that are read before the sentence."""
        return self.projected + self.prompt

    @property
    def whole(self) -> int:
        """Positions of clip, prompt and sentence in one sequence; the end token is told, never read."""
        return self.source + self.labels - 1 if self.sequence is None else self.sequence


def positions(
    lengths: Sequence[ClipLength], *, tune: TuneConfig, config: PretrainedConfig
) -> tuple[list[int], ...]:
    """Return estimated positions of each clip in the model of ``config``; see :class:`.ConditionedLM`."""
    family = Seq2SeqLM if config.is_encoder_decoder else CausalLM
    return family.positions(
        _sources(lengths, tune), [clip.labels for clip in lengths], [PREFIX_TOKENS] * len(lengths)
    )


def train_shapes(
    lengths: Sequence[ClipLength], *, tune: TuneConfig, config: PretrainedConfig
) -> list[BatchShape]:
    """Return the batches that a run with these settings makes of the training clips."""
    sides = positions(lengths, tune=tune, config=config)
    whole = None if config.is_encoder_decoder else sides[0]
    training = tune.training
    batches = make_batches(
        *sides, max_clips=training.batch_clips, max_steps=training.batch_tokens, seed=tune.seed
    )
    return [
        replace(
            shape_of([lengths[i] for i in batch], tune=tune),
            sequence=None if whole is None else max(whole[i] for i in batch),
        )
        for batch in batches
    ]


def evaluation_shapes(lengths: Sequence[ClipLength], *, tune: TuneConfig) -> list[BatchShape]:
    """Return the batches in which such a run translates, which sentences have no say in."""
    training = tune.training
    batches = make_batches(
        _sources(lengths, tune), max_clips=training.batch_clips, max_steps=training.batch_tokens, seed=0
    )
    return [shape_of([lengths[i] for i in batch], tune=tune) for batch in batches]


def shape_of(batch: Sequence[ClipLength], *, tune: TuneConfig) -> BatchShape:
    """Return the shape of one batch of these clips."""
    longest = longest_of(batch)
    known = longest.prompt
    return BatchShape(
        clips=len(batch),
        steps=longest.steps,
        further_steps=longest.further_steps,
        prompt=assumed_prompt(tune, labels=longest.labels) if known is None else known,
        labels=longest.labels,
        stride=tune.projector.stride if tune.projector.kind == "conv" else 1,
    )


def _sources(lengths: Sequence[ClipLength], tune: TuneConfig) -> list[int]:
    return [shape_of([clip], tune=tune).source for clip in lengths]
