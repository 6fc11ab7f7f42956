"""Lengths of a run's clips and sentences: by the model's tokenizer, by bytes of text, or assumed."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from transformers import AutoTokenizer, PretrainedConfig

from ..core.hub import find_source, load_pretrained
from ..core.sample import DEFAULT_TASK, Task
from ..finetune.config import TuneConfig
from ..finetune.data import FeatureItems
from ..llm.prompt import examples_key
from ..llm.text_codec import TextCodec, draw_examples
from ..llm.vocabulary import needed_ids

BYTES_PER_TOKEN = 3
"""Bytes of UTF-8, assumed where no tokenizer is known: a Chinese character, or half a German word."""
BYTES_PER_WORD = 6  # PHOENIX14T's training sentences, the space included
AROUND = 2  # a begin token, and one of the language
PREFIX_TOKENS = 2
"""First tokens of a decoder: mBART-50 and NLLB start from ``</s>`` and the language, the most of any."""
PHOENIX_STEPS, PHOENIX_WORDS = 119, 53
"""Longest clip (475 frames, every fourth) and longest sentence of PHOENIX14T's training split."""


@dataclass(frozen=True, kw_only=True)
class ClipLength:
    """Lengths of a clip that decide about memory."""

    steps: tuple[int, ...]
    """Feature steps of each stream."""
    labels: int
    """Tokens of the sentence, the end token included."""
    prompt: int
    """Tokens around the features."""
    prefix: int = PREFIX_TOKENS
    """First tokens of the decoder. A decoder-only model ignores this number."""


class TokenCounter:
    """Token counts of sentences and prompts: exact with a tokenizer, else estimated from bytes."""

    def __init__(
        self, llm: str | None, config: PretrainedConfig, *, tune: TuneConfig, train: FeatureItems
    ) -> None:
        """Read the tokenizer of ``llm``. None or a bare ``config.json`` has no tokenizer.

        Raises:
            ModelError: no tokenizer lies beside the config.
        """
        self._config, self._tune = config, tune
        self._examples = draw_examples(train.texts, train.examples_keys, count=tune.examples, seed=tune.seed)
        self._codec: TextCodec | None = None
        if llm is not None and not llm.endswith(".json"):
            tokenizer = load_pretrained(AutoTokenizer.from_pretrained, find_source(llm))
            self._codec = TextCodec(tokenizer, config, prompts=tune.prompts)
            self._codec.examples = self._examples

    @property
    def is_exact(self) -> bool:
        """Whether a tokenizer is known."""
        return self._codec is not None

    def lengths(self, items: FeatureItems) -> list[ClipLength]:
        """Return the lengths of clips."""
        kinds = list(zip(items.languages, items.tasks, strict=True))
        around = {kind: self._around(*kind) for kind in set(kinds)}
        clips = zip(items.texts, kinds, *items.stream_lengths, strict=True)
        return [
            ClipLength(
                steps=tuple(steps), labels=self._labels(text), prompt=around[kind][0], prefix=around[kind][1]
            )
            for text, kind, *steps in clips
        ]  # fmt: skip

    def kept_rows(self, train: FeatureItems) -> int | None:
        """Return the number of tokens of a trimmed vocabulary. None for all, or without a tokenizer."""
        if self._codec is None or not self._tune.trim_vocab:
            return None
        kept = needed_ids(
            self._codec.tokenizer, self._config, prompts=self._tune.prompts, texts=train.texts,
            languages=train.languages, tasks=train.tasks, examples=self._examples,
        )  # fmt: skip
        return len(kept)

    def _labels(self, text: str) -> int:
        return text_tokens(text) + 1 if self._codec is None else len(self._codec.target_ids(text))

    def _around(self, language: str, task: Task) -> tuple[int, int]:
        """Return the tokens around the features, and the first tokens of the decoder."""
        if self._codec is None:
            return _prompt_tokens(language, task, self._tune, examples=self._examples), PREFIX_TOKENS
        prefix = len(self._codec.decoder_prefix_ids(language))
        return len(self._codec.lead_ids()) + len(self._codec.prompt_ids(language, task)), prefix


def text_tokens(text: str) -> int:
    """Estimate the number of tokens of a sentence, without a tokenizer."""
    return -(-len(text.encode()) // BYTES_PER_TOKEN)


def assumed_lengths(steps: int, words: int, *, clips: int, tune: TuneConfig) -> list[ClipLength]:
    """Return a batch of German clips, all as long as the longest clip, with examples of the same length."""
    labels = -(-words * BYTES_PER_WORD // BYTES_PER_TOKEN) + 1
    prompt = assumed_prompt(tune, labels=labels)
    return [ClipLength(steps=(steps,), labels=labels, prompt=prompt)] * clips


def assumed_prompt(tune: TuneConfig, *, labels: int = 0) -> int:
    """Estimate the number of tokens around the features of a German clip.

    Args:
        tune: settings of the run.
        labels: tokens of each example before the prompt.
    """
    return _prompt_tokens("de", DEFAULT_TASK, tune, examples={}) + tune.examples * labels


def longest_of(clips: Sequence[ClipLength]) -> ClipLength:
    """Return a clip with the maximum of ``clips`` in every length."""
    return ClipLength(
        steps=tuple(map(max, zip(*(clip.steps for clip in clips), strict=True))),
        labels=max(clip.labels for clip in clips),
        prompt=max(clip.prompt for clip in clips),
        prefix=max(clip.prefix for clip in clips),
    )


def _prompt_tokens(
    language: str, task: Task, tune: TuneConfig, *, examples: Mapping[str, Sequence[str]]
) -> int:
    text = tune.prompts.whole(language, task, examples=examples.get(examples_key(language, task), ()))
    return text_tokens(text) + AROUND
