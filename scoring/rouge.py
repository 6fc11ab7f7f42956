"""ROUGE-L of sign language translation: F measure of the longest common subsequence, by sentence.

Published ROUGE columns mix at least four definitions. This file has the definition of the MS COCO caption
evaluation (``coco-caption``, ``rouge.py``), which signjoey and nlg-eval copied and most later papers inherit.
Umlauts and Chinese characters are kept. ``external_rouge.py`` has the definitions of other packages.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from statistics import fmean
from typing import Any, Literal, Protocol

from sacrebleu.metrics.base import Metric, Score

CHARACTER_LANGUAGES = ("zh", "ja", "th")
"""Languages without spaces between words. Korean has spaces and is counted by words."""


class Rouge(Protocol):
    """A definition of ROUGE-L. Languages are primary ISO 639 codes."""

    def undefined(self, language: str) -> str | None:
        """Return the reason why a language has no figure, or None."""
        ...

    def sentence_score(self, hypothesis: str, reference: str, *, language: str) -> float:
        """Return the ROUGE-L of one pair, 0-100. An empty hypothesis scores 0."""
        ...

    def signature(self, language: str) -> str:
        """Return the settings that reproduce the figure, in the style of sacrebleu's signatures."""
        ...


@dataclass(frozen=True, kw_only=True)
class RougeL:
    """Definition of coco-caption, with a choice of tokens and of the weight of recall."""

    beta: float = 1.2
    """Weight of recall over precision, 1.2 in coco-caption and signjoey."""
    tokens: Literal["whitespace", "space"] = "whitespace"
    """Ends of words: any run of white space, or every single space. With ``space``, two spaces in a row have
    an empty word between them, as in coco-caption and nlg-eval.
    """
    character_languages: tuple[str, ...] = ()
    """Languages counted by characters without white space."""

    def undefined(self, language: str) -> str | None:
        """Return None, because all languages are defined."""
        del language

    def sentence_score(self, hypothesis: str, reference: str, *, language: str) -> float:
        """Return the ROUGE-L of one pair, 0-100.

        >>> RougeL().sentence_score("regen morgen", "morgen regen", language="de")
        50.0
        >>> RougeL().sentence_score("", "sonne", language="de")
        0.0
        """
        # coco-caption takes the maximum over several references. There is one here.
        own, wanted = self._tokens(hypothesis, language), self._tokens(reference, language)
        common = lcs_length(own, wanted)
        # Precision and recall would both be 0, and F undefined.
        if common == 0:
            return 0.0
        precision, recall = common / len(own), common / len(wanted)
        return 100 * (1 + self.beta**2) * precision * recall / (recall + self.beta**2 * precision)

    def signature(self, language: str) -> str:
        """Return the settings that reproduce the figure.

        >>> RougeL(character_languages=("zh",)).signature("zh")
        'avg:sentence|beta:1.2|tok:char'
        """
        tokens = "char" if language in self.character_languages else self.tokens
        return f"avg:sentence|beta:{self.beta:g}|tok:{tokens}"

    def _tokens(self, text: str, language: str) -> list[str]:
        if language in self.character_languages:
            # Spaces in Chinese text come from tokenizers, and carry no meaning.
            return list("".join(text.split()))
        if self.tokens == "whitespace":
            return text.split()
        return text.strip().split(" ") if text.strip() else []


class RougeMetric(Metric):
    """ROUGE-L as a sacrebleu metric, for resampling and comparison by sacrebleu."""

    def __init__(self, rouge: Rouge, language: str) -> None:
        super().__init__()
        self._rouge, self._language = rouge, language

    def _preprocess_segment(self, sent: str) -> str:
        return sent

    def _extract_reference_info(self, refs: Sequence[str]) -> dict[str, Any]:
        # There is one reference for each sentence.
        return {"reference": refs[0]}

    def _compute_segment_statistics(self, hypothesis: str, ref_kwargs: dict[str, Any]) -> list[Any]:
        reference = ref_kwargs["reference"]
        # The second number counts sentences, so that the sum over a resample gives the mean.
        return [self._rouge.sentence_score(hypothesis, reference, language=self._language), 1.0]

    def _aggregate_and_compute(self, stats: list[list[Any]]) -> Score:
        return Score("ROUGE-L", fmean(score for score, _ in stats))

    def _compute_score_from_stats(self, stats: Sequence[float]) -> Score:
        return Score("ROUGE-L", float(stats[0] / stats[1]))


def lcs_length(first: Sequence[str], second: Sequence[str]) -> int:
    """Return the length of the longest common subsequence of two token sequences.

    Each row of the usual table is one integer. Bit j stands for token j of ``second``, and a bit is cleared
    where the value of the row rises by one. The number of cleared bits in the last row is the length. One
    addition computes a whole row, where the table needs ``len(second)`` comparisons.

    Source: Hyyrö, "Bit-Parallel LCS-length Computation Revisited" (2004), figure 3.

    >>> lcs_length("abcbdab", "bdcaba")
    4
    """
    positions: dict[str, int] = {}
    for index, token in enumerate(second):
        positions[token] = positions.get(token, 0) | 1 << index
    # Python integers have any length, so a row of any sentence is one integer.
    full = (1 << len(second)) - 1
    row = full
    for token in first:
        matches = row & positions.get(token, 0)
        row = ((row + matches) | (row - matches)) & full
    return len(second) - row.bit_count()
