"""BLEU-1 to BLEU-4, chrF, ROUGE-L, WER and exact match of a corpus, with a signature."""

import re
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

from sacrebleu.metrics.bleu import BLEU, BLEUScore

from ..core.errors import DataError
from ..core.text import UNSPACED
from .normal_form import differing_forms
from .protocol import Protocol, primary_code
from .protocols import DEFAULT_PROTOCOL, find_protocol
from .word_errors import WordErrors

BLEU_ORDERS = (1, 2, 3, 4)
CHARACTER_TOKENIZERS = ("char", "zh")
"""sacrebleu's tokenizers for text without spaces."""
DEFAULT_RESAMPLES = 1000
"""Test sets drawn for an interval or a comparison, as sacrebleu draws."""

UNSPACED_TEXT = re.compile(f"{UNSPACED.pattern}{{2}}")
"""Two neighbouring characters of Thai, kana or Han: text to be counted by characters."""


@dataclass(frozen=True, kw_only=True)
class Scores:
    """Scores of a system on a corpus, in percent. Higher is better, except for WER."""

    bleu1: float
    """Cumulative: the geometric mean of the n-gram precisions up to n, times the brevity penalty."""
    bleu2: float
    bleu3: float
    bleu4: float
    rouge_l: float | None
    """Mean over sentences, or None where the protocol has no ROUGE-L for the language."""
    chrf: float
    """chrF2: character n-grams up to 6, recall counted twice."""
    wer: float
    """Word error rate: edits for 100 words of the references. Lower is better, and 100 is no limit."""
    exact_match: float
    """Share of hypotheses with the words of their reference."""
    word_errors: WordErrors
    """Counts of edits, which ``wer`` and ``exact_match`` come from."""
    count: int
    """Pairs scored."""
    protocol: str
    """Name of the scoring convention."""
    language: str
    """ISO 639 code the text was scored as."""
    signature: str
    """Steps on the text and signatures of the metrics, enough to reproduce the figures."""
    rouge_reason: str | None = None
    """Reason for a missing ``rouge_l``."""
    unicode_note: str | None = None
    """Note about sides in different Unicode normal forms, after the steps of the protocol."""
    intervals: dict[str, float] | None = None
    """Half the width of the 95 % bootstrap interval of ``bleu4``, ``chrf``, ``rouge_l`` and ``wer``, if asked
    for.
    """

    def to_dict(self) -> dict[str, Any]:
        """Return the fields by name, unrounded, without optional fields that are None.

        The counts of ``word_errors`` stand among the other figures.
        """
        optional = ("rouge_reason", "unicode_note", "intervals")
        fields = asdict(self)
        # A flat dict becomes a row of a table without further work.
        fields |= fields.pop("word_errors")
        return {key: value for key, value in fields.items() if key not in optional or value is not None}


def score(
    hypotheses: Sequence[str],
    references: Sequence[str],
    *,
    language: str = "en",
    protocol: str = DEFAULT_PROTOCOL,
    resamples: int = 0,
) -> Scores:
    """Score hypotheses against one reference each.

    An empty hypothesis is allowed and scores 0. The sentences are not lower-cased, stripped of punctuation or
    normalised unless the protocol has such a step.

    Args:
        hypotheses: one sentence for each pair.
        references: one sentence for each pair, none empty.
        language: ISO 639 code. Tokenizer and steps of a protocol depend on the language.
        protocol: a name of ``PROTOCOLS``.
        resamples: number of resampled test sets for 95 % intervals, 0 for no intervals. sacrebleu draws the
            test sets with seed 12345 unless ``SACREBLEU_SEED`` is set.

    Raises:
        DataError: no pairs, unequal counts, an empty reference, text without spaces under a tokenizer of
            words, or a language outside the protocol.
        ConfigError: no protocol of this name.
    """
    rules = find_protocol(protocol)
    check_pairs(hypotheses, references)
    hypotheses, references = prepare(hypotheses, references, rules=rules, language=language)
    # The tokenizer depends on the language, so each call has metric objects of its own.
    bleu, chrf, rouge = rules.bleu(language), rules.chrf(), rules.rouge_metric(language)
    found = {"bleu4": bleu.corpus_score(hypotheses, [references], n_bootstrap=resamples)}
    found["chrf"] = chrf.corpus_score(hypotheses, [references], n_bootstrap=resamples)
    if rouge is not None:
        found["rouge_l"] = rouge.corpus_score(hypotheses, [references], n_bootstrap=resamples)
    found["wer"] = rules.word_error_rate(language).corpus_score(
        hypotheses, [references], n_bootstrap=resamples
    )
    errors: WordErrors = found["wer"].errors
    bleu1, bleu2, bleu3, bleu4 = cumulative_bleu(found["bleu4"], metric=bleu)
    return Scores(
        bleu1=bleu1,
        bleu2=bleu2,
        bleu3=bleu3,
        bleu4=bleu4,
        rouge_l=found["rouge_l"].score if rouge else None,
        chrf=found["chrf"].score,
        wer=errors.rate,
        exact_match=100 * errors.exact_sentences / len(references),
        word_errors=errors,
        count=len(references),
        protocol=rules.name,
        language=language,
        signature=_signature(rules, language, bleu=str(bleu.get_signature()), chrf=str(chrf.get_signature())),
        rouge_reason=rules.rouge.undefined(primary_code(language)),
        unicode_note=differing_forms(hypotheses, references),
        intervals={name: float(one._ci) for name, one in found.items()} if resamples > 1 else None,
    )


def prepare(
    hypotheses: Sequence[str], references: Sequence[str], *, rules: Protocol, language: str
) -> tuple[list[str], list[str]]:
    """Return both sides after the steps of the protocol.

    Raises:
        DataError: the protocol refuses the language, or would take each sentence for one word.
    """
    if reason := rules.refused.get(primary_code(language)):
        raise DataError(
            f"{rules.name} cannot score {language!r}: {reason}.\nScore it under another protocol."
        )
    prepared = [rules.prepare_reference(sentence, language) for sentence in references]
    # After the steps: a protocol may itself put spaces between characters.
    _check_spaces(prepared, rules=rules, language=language)
    return [rules.prepare_hypothesis(sentence, language) for sentence in hypotheses], prepared


def _signature(rules: Protocol, language: str, *, bleu: str, chrf: str) -> str:
    code = primary_code(language)
    rouge = "none" if rules.rouge.undefined(code) else rules.rouge.signature(code)
    wer = f"avg:corpus|edits:1|tok:{rules.tokenizer(language)}"
    return f"{rules.signature(language)} BLEU|{bleu} ROUGE-L|{rouge} WER|{wer} chrF2|{chrf}"


def cumulative_bleu(corpus: BLEUScore, *, metric: BLEU) -> list[float]:
    """Return BLEU-1 to BLEU-4 from the counts of one corpus call, by sacrebleu's formula.

    The result equals four calls with ``max_ngram_order`` 1 to 4, at a quarter of the cost.
    """
    return [
        BLEU.compute_bleu(
            # The counts of order n hold the counts of all lower orders.
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
    """Check the pairs of a score.

    Raises:
        DataError: no pairs, unequal counts, or an empty reference. The message names the pair, counted from
            1.
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


def _check_spaces(references: Sequence[str], *, rules: Protocol, language: str) -> None:
    """Refuse text without spaces under a tokenizer of words, where BLEU would be 0."""
    if rules.tokenizer(language) in CHARACTER_TOKENIZERS:
        return
    unspaced = [number for number, text in enumerate(references, 1) if UNSPACED_TEXT.search(text)]
    # A name or a number of Han characters in spaced text is no fault. Half of the references is.
    if 2 * len(unspaced) > len(references):
        first = unspaced[0]
        raise DataError(
            f"References in {language!r} must have spaces between words under {rules.name}, but "
            f"{len(unspaced)} of {len(references)} have none, the first being reference {first}: "
            f"{references[first - 1]!r}.\n"
            "Name the language of the text, for instance --language zh, or choose a protocol that cuts it "
            "into characters, such as sacrebleu."
        )
