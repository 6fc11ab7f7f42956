"""Scoring protocol: steps on the text, tokenizer, smoothing and definition of ROUGE-L."""

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal

from sacrebleu.metrics.bleu import BLEU
from sacrebleu.metrics.chrf import CHRF

from ..core.errors import DataError
from .rouge import Rouge, RougeL, RougeMetric
from .text import Step
from .word_errors import WordErrorRate

LANGUAGE_CODE = re.compile(r"([a-z]{2,3})([-_][A-Za-z0-9]+)*")


@dataclass(frozen=True, kw_only=True)
class Protocol:
    """Complete description of a scoring convention."""

    name: str
    """Name for ``--protocol`` and for a row of a table."""
    reproduces: str
    """Code bases with figures of this protocol."""
    source: str
    """Source of the description."""
    unknown: str = ""
    """Unknown or missing parts of the convention."""
    hypothesis: tuple[Step, ...] = ()
    """Steps on a hypothesis before any metric, in order."""
    reference: tuple[Step, ...] = ()
    """Steps on a reference before any metric, in order."""
    bleu_tokenizer: str = "13a"
    """sacrebleu's name of the BLEU tokenizer for languages not named below."""
    bleu_tokenizers: Mapping[str, str] = field(default_factory=dict[str, str])
    """ISO 639 code -> sacrebleu's name of the BLEU tokenizer."""
    bleu_smoothing: Literal["exp", "none"] = "exp"
    """sacrebleu's name of the smoothing for orders without a correct n-gram."""
    rouge: Rouge = RougeL()
    """The definition of ROUGE-L."""
    refused: Mapping[str, str] = field(default_factory=dict[str, str])
    """ISO 639 code -> reason why the protocol refuses the language."""

    def prepare_hypothesis(self, sentence: str, language: str) -> str:
        """Return a hypothesis after all steps."""
        return _prepared(sentence, self.hypothesis, primary_code(language))

    def prepare_reference(self, sentence: str, language: str) -> str:
        """Return a reference after all steps."""
        return _prepared(sentence, self.reference, primary_code(language))

    def bleu(self, language: str) -> BLEU:
        """Return the BLEU metric for a language. BLEU-1 to BLEU-4 come from one corpus call."""
        # `force` only silences the advice that text ending in " ." looks tokenized, as PHOENIX-2014T does.
        return BLEU(tokenize=self.tokenizer(language), smooth_method=self.bleu_smoothing, force=True)

    def chrf(self) -> CHRF:
        """Return the chrF metric: sacrebleu's default, character n-grams up to 6, no words, beta 2."""
        # All protocols share chrF: no code base of the field has a variant.
        return CHRF()

    def rouge_metric(self, language: str) -> RougeMetric | None:
        """Return the ROUGE-L metric for a language, or None where the protocol has no ROUGE-L."""
        undefined = self.rouge.undefined(primary_code(language))
        return None if undefined else RougeMetric(self.rouge, primary_code(language))

    def word_error_rate(self, language: str) -> WordErrorRate:
        """Return the WER metric for a language, whose words are the tokens of BLEU."""
        # The same tokens as BLEU, so that both figures of a row count the same words.
        return WordErrorRate(self.bleu(language).tokenizer)

    def tokenizer(self, language: str) -> str:
        """Return sacrebleu's name of the BLEU tokenizer for a language."""
        return self.bleu_tokenizers.get(primary_code(language), self.bleu_tokenizer)

    def signature(self, language: str) -> str:
        """Return the first part of a signature: protocol, language and steps.

        >>> from .protocols import find_protocol
        >>> find_protocol("gfslt").signature("de")
        'protocol:gfslt|lang:de|hyp:final-stop-removed|ref:final-stop-removed'
        """
        code = primary_code(language)
        sides = (("hyp", self.hypothesis), ("ref", self.reference))
        named = (
            f"{side}:{'+'.join(step.name for step in steps if step.concerns(code)) or 'raw'}"
            for side, steps in sides
        )
        return "|".join((f"protocol:{self.name}", f"lang:{language}", *named))


def primary_code(language: str) -> str:
    """Return the language of an ISO 639 code, without script or region.

    >>> primary_code("zh-CN")
    'zh'

    Raises:
        DataError: the text is not an ISO 639 code. A name like ``chinese`` would silently be scored by words.
    """
    # An unknown name would get the default tokenizer, in silence.
    match = LANGUAGE_CODE.fullmatch(language)
    if match is None:
        raise DataError(f"A language must be an ISO 639 code such as de, en or zh, but is {language!r}.")
    return match[1]


def _prepared(sentence: str, steps: tuple[Step, ...], language: str) -> str:
    for step in steps:
        # A German full stop rule must not touch Chinese.
        if step.concerns(language):
            sentence = step.change(sentence)
    return sentence
