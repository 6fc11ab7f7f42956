"""BLEU-1 to BLEU-4, chrF and ROUGE-L of a corpus, each with the signature that reproduces it."""

import re
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from statistics import fmean
from typing import Any

from sacrebleu.metrics.bleu import BLEU, BLEUScore

from ..core.errors import DataError
from .protocol import Protocol, find_protocol

BLEU_ORDERS = (1, 2, 3, 4)

UNSPACED_TEXT = re.compile(r"[\u0e00-\u0e7f\u3040-\u30ff\u3400-\u4dbf\u4e00-\u9fff]{2}")
"""Two neighbours of Thai, kana or Han: text that must be counted by character."""


@dataclass(frozen=True, kw_only=True)
class Scores:
    """What a system scores on a corpus; every figure 0-100, higher is better."""

    bleu1: float
    """Cumulative: the geometric mean of the n-gram precisions up to n, times the brevity penalty."""
    bleu2: float
    bleu3: float
    bleu4: float
    chrf: float
    """chrF2: character n-grams up to 6, recall counted twice."""
    rouge_l: float
    """The mean over sentences."""
    count: int
    """Pairs scored."""
    protocol: str
    """Name of the scoring convention."""
    signature: str
    """sacrebleu's signature of the BLEU figures."""
    chrf_signature: str
    """sacrebleu's signature of chrF."""
    rouge_signature: str
    """The variant of ROUGE-L."""

    def to_dict(self) -> dict[str, Any]:
        """Return all fields by name, unrounded."""
        return asdict(self)


def score(
    hypotheses: Sequence[str], references: Sequence[str], *, language: str = "en", protocol: str = "sacrebleu"
) -> Scores:
    """Score hypotheses against one reference each.

    An empty hypothesis is legal and scores 0. The sentences are taken raw: nothing is lower-cased,
    stripped of punctuation or normalised unless the protocol says so.

    Args:
        hypotheses: one sentence a pair.
        references: as many, none empty.
        language: ISO 639 code; Chinese, Japanese and Thai are counted by character.
        protocol: a name of ``PROTOCOLS``.

    Raises:
        DataError: no pairs, unequal counts, an empty reference, or unspaced text in another language.
        ConfigError: no such protocol.
    """
    rules = find_protocol(protocol)
    check_pairs(hypotheses, references)
    _check_language(references, rules=rules, language=language)
    hypotheses = [rules.prepare_hypothesis(sentence, language) for sentence in hypotheses]
    references = [rules.prepare_reference(sentence, language) for sentence in references]
    bleu, chrf, by_character = rules.bleu(language), rules.chrf(), rules.rouge_by_character(language)
    bleu1, bleu2, bleu3, bleu4 = cumulative_bleu(bleu.corpus_score(hypotheses, [references]), metric=bleu)
    return Scores(
        bleu1=bleu1,
        bleu2=bleu2,
        bleu3=bleu3,
        bleu4=bleu4,
        chrf=chrf.corpus_score(hypotheses, [references]).score,
        rouge_l=fmean(rules.rouge.sentence_scores(hypotheses, references, by_character=by_character)),
        count=len(references),
        protocol=rules.name,
        signature=str(bleu.get_signature()),
        chrf_signature=str(chrf.get_signature()),
        rouge_signature=rules.rouge.signature(by_character=by_character),
    )


def cumulative_bleu(corpus: BLEUScore, *, metric: BLEU) -> list[float]:
    """Return BLEU-1 to BLEU-4 from the counts of one corpus call, by sacrebleu's own formula.

    Equal to four calls with ``max_ngram_order`` 1 to 4, at a quarter of the cost.
    """
    return [
        BLEU.compute_bleu(
            corpus.counts[:order],
            corpus.totals[:order],
            corpus.sys_len,
            corpus.ref_len,
            smooth_method=metric.smooth_method,
            smooth_value=metric.smooth_value,
            effective_order=metric.effective_order,
            max_ngram_order=order,
        ).score
        for order in BLEU_ORDERS
    ]


def check_pairs(hypotheses: Sequence[str], references: Sequence[str]) -> None:
    """Refuse what cannot be scored.

    Raises:
        DataError: no pairs, unequal counts, or an empty reference; it names the pair, counted from 1.
    """
    if len(hypotheses) != len(references):
        raise DataError(
            f"There must be one hypothesis for each reference, but there are {len(hypotheses)} hypotheses "
            f"and {len(references)} references."
        )
    if not references:
        raise DataError("There must be at least one pair to score, but there is none.")
    for number, reference in enumerate(references, 1):
        if not reference.strip():
            raise DataError(f"Reference {number} must hold text, but is {reference!r}.")


def _check_language(references: Sequence[str], *, rules: Protocol, language: str) -> None:
    """Refuse text without spaces in a language of words: a sentence would be one token, and BLEU 0."""
    if rules.tokenizer(language) == "char":
        return
    unspaced = [number for number, text in enumerate(references, 1) if UNSPACED_TEXT.search(text)]
    if 2 * len(unspaced) > len(references):
        first = unspaced[0]
        raise DataError(
            f"References in {language!r} must have spaces between words, but {len(unspaced)} of "
            f"{len(references)} have none, the first being reference {first}: {references[first - 1]!r}.\n"
            "Name the language of the text, for instance --language zh."
        )
