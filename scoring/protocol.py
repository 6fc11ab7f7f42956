"""Scoring conventions by name: how text is prepared, cut into tokens, and counted.

Figures of two papers can be compared only where their conventions agree: the tokenizer, a final full stop
or the case of letters move BLEU-4 by one to five points on the same sentences. A protocol therefore says
all of it in one object; to add a convention is to add a row to ``PROTOCOLS``.
"""

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

from sacrebleu.metrics.bleu import BLEU
from sacrebleu.metrics.chrf import CHRF

from ..core.errors import ConfigError, DataError, did_you_mean
from .rouge import RougeL

TextPreparation = Callable[[str, str], str]
"""(sentence, language) -> the sentence as it is scored."""

CHARACTER_LANGUAGES = ("zh", "ja", "th")
"""Written without spaces between words. Korean has them, so its words are counted as they stand."""

LANGUAGE_CODE = re.compile(r"([a-z]{2,3})([-_][A-Za-z0-9]+)*")


def unchanged(sentence: str, language: str) -> str:
    """Return the sentence as it is, in whatever language."""
    del language
    return sentence


@dataclass(frozen=True, kw_only=True)
class Protocol:
    """One way of scoring, whole."""

    name: str
    """What ``--protocol`` and a table's row call it."""
    source: str
    """Where the convention comes from and whose figures it reproduces."""
    prepare_hypothesis: TextPreparation = unchanged
    """What is done to a hypothesis before any metric sees it."""
    prepare_reference: TextPreparation = unchanged
    """The same for a reference."""
    bleu_tokenizer: str = "13a"
    """sacrebleu's name of the BLEU tokenizer for languages not named below."""
    bleu_tokenizers: Mapping[str, str] = field(default_factory=dict[str, str])
    """ISO 639 code -> sacrebleu's name of the BLEU tokenizer."""
    rouge: RougeL = RougeL()
    """The variant of ROUGE-L."""
    rouge_character_languages: tuple[str, ...] = CHARACTER_LANGUAGES
    """Where ROUGE-L counts characters instead of words."""

    def bleu(self, language: str) -> BLEU:
        """Return the BLEU metric for a language; BLEU-1 to BLEU-4 come from the one corpus call."""
        # `force` only silences the advice that text ending in " ." looks tokenized, as PHOENIX-2014T does.
        return BLEU(tokenize=self.tokenizer(language), force=True)

    def chrf(self) -> CHRF:
        """Return the chrF metric: sacrebleu's default, character n-grams up to 6, no words, beta 2."""
        return CHRF()

    def tokenizer(self, language: str) -> str:
        """Return sacrebleu's name of the BLEU tokenizer for a language."""
        return self.bleu_tokenizers.get(primary_code(language), self.bleu_tokenizer)

    def rouge_by_character(self, language: str) -> bool:
        """Whether ROUGE-L counts characters in a language."""
        return primary_code(language) in self.rouge_character_languages


PROTOCOLS: Mapping[str, Protocol] = {
    protocol.name: protocol
    for protocol in (
        Protocol(
            name="sacrebleu",
            source="sacrebleu's defaults on raw sentences (Post 2018), ROUGE-L of coco-caption",
            bleu_tokenizers=dict.fromkeys(CHARACTER_LANGUAGES, "char"),
        ),
    )
}
"""All protocols by name."""


def find_protocol(name: str) -> Protocol:
    """Return the protocol of that name.

    Raises:
        ConfigError: there is none.
    """
    if name not in PROTOCOLS:
        known = list(PROTOCOLS)
        raise ConfigError(
            f"A protocol must be one of {', '.join(known)}, but is {name!r}.{did_you_mean(name, known)}"
        )
    return PROTOCOLS[name]


def primary_code(language: str) -> str:
    """Return the language of an ISO 639 code, without script or region.

    >>> primary_code("zh-CN")
    'zh'

    Raises:
        DataError: it is no such code; a name like ``chinese`` would silently be scored by words.
    """
    match = LANGUAGE_CODE.fullmatch(language)
    if match is None:
        raise DataError(f"A language must be an ISO 639 code such as de, en or zh, but is {language!r}.")
    return match[1]
