"""How large the batches of a run are, from the lengths in a cache, or from assumed ones."""

from collections.abc import Sequence
from dataclasses import dataclass

from ..training.batches import make_batches
from ..training.config import TrainingConfig
from .data import FeatureItems
from .prompt import prompt_for

BYTES_PER_TOKEN = 3
"""Of UTF-8, assumed where there is no tokenizer: a Chinese character, or half a German word."""
BYTES_PER_WORD = 6  # PHOENIX14T's training sentences, the space included
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

    @property
    def source(self) -> int:
        """Positions that are read before the sentence."""
        return self.steps + self.prompt

    @property
    def tokens(self) -> int:
        """Positions of the whole batch: features, prompt and sentence."""
        return self.clips * (self.source + self.labels)


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


def batch_shapes(
    lengths: Sequence[ClipLength], *, training: TrainingConfig, prompt: str | None, seed: int
) -> list[BatchShape]:
    """Return the batches that a run with these settings makes of the clips, longest clips first."""
    batches = make_batches(
        [clip.steps for clip in lengths],
        max_clips=training.batch_clips,
        max_steps=training.batch_steps,
        seed=seed,
    )
    around = prompt_tokens(prompt)
    return [
        BatchShape(
            clips=len(batch),
            steps=max(lengths[i].steps for i in batch),
            prompt=around,
            labels=max(lengths[i].labels for i in batch),
        )
        for batch in batches
    ]
