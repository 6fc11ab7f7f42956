"""How large the batches of a run are, from the lengths in a cache, or from assumed ones."""

from collections.abc import Sequence
from dataclasses import dataclass, replace

from transformers import PretrainedConfig

from ..finetune.causal import CausalFamily
from ..finetune.config import TuneConfig
from ..finetune.data import FeatureItems
from ..finetune.prompt import prompt_for
from ..finetune.seq2seq import Seq2SeqFamily
from ..training.batches import make_batches

BYTES_PER_TOKEN = 3
"""Of UTF-8, assumed where there is no tokenizer: a Chinese character, or half a German word."""
BYTES_PER_WORD = 6  # PHOENIX14T's training sentences, the space included
PREFIX_TOKENS = 2
"""First tokens of a decoder: mBART-50 and NLLB start from ``</s>`` and the language, the most of any."""
PHOENIX_STEPS, PHOENIX_WORDS = 119, 53
"""Longest clip (475 frames, every fourth) and longest sentence of PHOENIX14T's training split."""


@dataclass(frozen=True, kw_only=True)
class ClipLength:
    """One clip, as memory sees it."""

    steps: int
    """Feature steps."""
    labels: int
    """Tokens of its sentence, the end token included."""


@dataclass(frozen=True, kw_only=True)
class BatchShape:
    """One batch, padded."""

    clips: int
    steps: int
    """Feature steps of the longest clip."""
    prompt: int
    """Tokens of the prompt, and of what stands before the features."""
    labels: int
    """Tokens of the longest sentence."""
    stride: int = 1
    """Feature steps that the projector turns into one."""
    sequence: int | None = None
    """Positions of clip, prompt and sentence at most; None: the longest clip has the longest sentence."""

    @property
    def projected(self) -> int:
        """What the projector makes of the longest clip's steps."""
        return -(-self.steps // self.stride)

    @property
    def source(self) -> int:
        """Positions that are read before the sentence."""
        return self.projected + self.prompt

    @property
    def whole(self) -> int:
        """Positions of clip, prompt and sentence in one sequence; the end token is told, never read."""
        return self.source + self.labels - 1 if self.sequence is None else self.sequence


def text_tokens(text: str) -> int:
    """Return about how many tokens a sentence has, without a tokenizer."""
    return -(-len(text.encode()) // BYTES_PER_TOKEN)


def prompt_tokens(prompt: str | None) -> int:
    """Return about how many tokens stand around the features: the prompt, begin and language tokens."""
    return text_tokens(prompt_for("de", prompt)) + 2


def cached_lengths(items: FeatureItems) -> list[ClipLength]:
    """Return the lengths of a cache's clips."""
    pairs = zip(items.lengths, items.texts, strict=True)
    return [ClipLength(steps=steps, labels=text_tokens(text) + 1) for steps, text in pairs]


def assumed_lengths(steps: int, words: int, *, clips: int) -> list[ClipLength]:
    """Return a batch's worth of clips that are all as long as the longest."""
    labels = -(-words * BYTES_PER_WORD // BYTES_PER_TOKEN) + 1
    return [ClipLength(steps=steps, labels=labels)] * clips


def positions(
    lengths: Sequence[ClipLength], *, tune: TuneConfig, config: PretrainedConfig
) -> tuple[list[int], ...]:
    """Return about how many positions the model of ``config`` reads of each clip; see :class:`.Family`."""
    family = Seq2SeqFamily if config.is_encoder_decoder else CausalFamily
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
            _shape([lengths[i] for i in batch], tune),
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
    return [_shape([lengths[i] for i in batch], tune) for batch in batches]


def _sources(lengths: Sequence[ClipLength], tune: TuneConfig) -> list[int]:
    return [_shape([clip], tune).source for clip in lengths]


def _shape(batch: Sequence[ClipLength], tune: TuneConfig) -> BatchShape:
    return BatchShape(
        clips=len(batch),
        steps=max(clip.steps for clip in batch),
        prompt=prompt_tokens(tune.prompt),
        labels=max(clip.labels for clip in batch),
        stride=tune.projector.stride if tune.projector.kind == "conv" else 1,
    )
