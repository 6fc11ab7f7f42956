"""How long the clips of a run are, and what stands around them: from caches, or assumed."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from ..finetune.config import TuneConfig
from ..finetune.data import FeatureItems
from ..llm.prompt import whole_prompt
from ..llm.text_codec import draw_examples

BYTES_PER_TOKEN = 3
"""Of UTF-8, assumed where there is no tokenizer: a Chinese character, or half a German word."""
BYTES_PER_WORD = 6  # PHOENIX14T's training sentences, the space included
AROUND = 2  # a begin token, and one of the language
PHOENIX_STEPS, PHOENIX_WORDS = 119, 53
"""Longest clip (475 frames, every fourth) and longest sentence of PHOENIX14T's training split."""


@dataclass(frozen=True, kw_only=True)
class ClipLength:
    """One clip, as memory sees it."""

    steps: int
    """Feature steps, of several streams the first's."""
    labels: int
    """Tokens of its sentence, the end token included."""
    further_steps: tuple[int, ...] = ()
    """Feature steps of the streams after the first."""
    prompt: int | None = None
    """Tokens around its features; None: not known, see :func:`assumed_prompt`."""


def text_tokens(text: str) -> int:
    """Return about how many tokens a sentence has, without a tokenizer."""
    return -(-len(text.encode()) // BYTES_PER_TOKEN)


def assumed_prompt(tune: TuneConfig, *, labels: int = 0) -> int:
    """Return about how many tokens stand around the features where neither language nor sentences are known.

    Args:
        tune: the run's settings.
        labels: of each sentence that precedes the prompt as an example.
    """
    return _prompt_tokens("de", tune, examples={}) + tune.examples * labels


def cached_lengths(
    train: FeatureItems, dev: FeatureItems | None, *, tune: TuneConfig
) -> tuple[list[ClipLength], list[ClipLength]]:
    """Return the lengths of the clips of training, and of those that are translated: without dev the same."""
    examples = draw_examples(train.texts, train.languages, count=tune.examples, seed=tune.seed)
    trained, translated = (
        _lengths(items, tune=tune, examples=examples) for items in (train, train if dev is None else dev)
    )
    return trained, translated


def assumed_lengths(steps: int, words: int, *, clips: int) -> list[ClipLength]:
    """Return a batch's worth of clips that are all as long as the longest."""
    labels = -(-words * BYTES_PER_WORD // BYTES_PER_TOKEN) + 1
    return [ClipLength(steps=steps, labels=labels)] * clips


def longest_of(clips: Sequence[ClipLength]) -> ClipLength:
    """Return a clip as long as the longest of ``clips`` in everything."""
    return ClipLength(
        steps=max(clip.steps for clip in clips),
        labels=max(clip.labels for clip in clips),
        further_steps=tuple(map(max, zip(*(clip.further_steps for clip in clips), strict=True))),
        prompt=max((clip.prompt for clip in clips if clip.prompt is not None), default=None),
    )


def _lengths(
    items: FeatureItems, *, tune: TuneConfig, examples: Mapping[str, Sequence[str]]
) -> list[ClipLength]:
    prompts = {
        language: _prompt_tokens(language, tune, examples=examples) for language in set(items.languages)
    }
    clips = zip(items.texts, items.languages, *items.stream_lengths, strict=True)
    return [
        ClipLength(
            steps=steps, further_steps=tuple(further), labels=text_tokens(text) + 1, prompt=prompts[language]
        )
        for text, language, steps, *further in clips
    ]


def _prompt_tokens(language: str, tune: TuneConfig, *, examples: Mapping[str, Sequence[str]]) -> int:
    """Return about how many tokens stand around the features of a clip in ``language``."""
    text = whole_prompt(
        language, prompt=tune.prompt, prompts=tune.prompt_by_language, examples=examples.get(language, ())
    )
    return text_tokens(text) + AROUND
