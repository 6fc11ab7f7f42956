"""Significance of the difference between two systems: paired bootstrap by sacrebleu."""

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

from sacrebleu.metrics.base import Metric
from sacrebleu.significance import PairedTest, Result

from .protocols import DEFAULT_PROTOCOL, find_protocol
from .score import DEFAULT_RESAMPLES, check_pairs, prepare


@dataclass(frozen=True, kw_only=True)
class Comparison:
    """Scores of two systems under one metric, in percent."""

    first: float
    """Score of the first system."""
    second: float
    """Score of the second system."""
    first_interval: float
    """Half the width of the 95 % interval of the first score."""
    second_interval: float
    """Half the width of the 95 % interval of the second score."""
    p_value: float
    """Probability of a difference as large as this if the systems are equally good."""
    signature: str
    """sacrebleu's signature, with the number of resamples and the seed."""

    def to_dict(self) -> dict[str, Any]:
        """Return all fields by name, unrounded."""
        return asdict(self)


def compare(
    first: Sequence[str],
    second: Sequence[str],
    references: Sequence[str],
    *,
    language: str = "en",
    protocol: str = DEFAULT_PROTOCOL,
    resamples: int = DEFAULT_RESAMPLES,
) -> dict[str, Comparison]:
    """Compare two systems by resampling the same sentences for both.

    Sources: Koehn 2004, and sacrebleu's ``PairedTest`` with seed 12345 unless ``SACREBLEU_SEED`` is set.

    Args:
        first: hypotheses of the first system.
        second: hypotheses of the second system, in the same order.
        references: one reference for each pair.
        language: ISO 639 code of the text.
        protocol: a name of ``PROTOCOLS``.
        resamples: number of resampled test sets. The smallest p-value is 1 / (resamples + 1).

    Returns:
        ``bleu4``, ``chrf``, ``wer`` and, where the protocol defines ROUGE-L for the language, ``rouge_l``.

    Raises:
        DataError: no pairs, unequal counts, an empty reference, text without spaces under a tokenizer of
            words, or a language outside the protocol.
        ConfigError: no protocol of this name.
    """
    rules = find_protocol(protocol)
    check_pairs(first, references)
    check_pairs(second, references)
    # sacrebleu takes the first system for the baseline of all p-values.
    systems: list[tuple[str, Sequence[str]]] = []
    for name, sentences in (("first", first), ("second", second)):
        hypotheses, prepared = prepare(sentences, references, rules=rules, language=language)
        systems.append((name, hypotheses))
    # These names are sacrebleu's keys of the result.
    metrics: dict[str, Metric] = {
        "BLEU": rules.bleu(language),
        "chrF2": rules.chrf(),
        "WER": rules.word_error_rate(language),
    }
    if rouge := rules.rouge_metric(language):
        metrics["ROUGE-L"] = rouge
    test = PairedTest(systems, metrics, [prepared], test_type="bs", n_samples=resamples)
    signatures, results = test()
    # After the steps of the protocol: systems may differ in a full stop alone.
    same = systems[0][1] == systems[1][1]
    return {
        name: _comparison(results[metric], signature=str(signatures[metric]), same=same)
        for name, metric in (("bleu4", "BLEU"), ("chrf", "chrF2"), ("rouge_l", "ROUGE-L"), ("wer", "WER"))
        if metric in metrics
    }


def _comparison(results: Sequence[str | Result], *, signature: str, same: bool) -> Comparison:
    first, second = results
    # sacrebleu types all columns as text or Result, but only the column of names is text.
    assert isinstance(first, Result)
    assert isinstance(second, Result)
    assert first.ci is not None
    assert second.ci is not None
    assert second.p_value is not None
    return Comparison(
        first=first.score,
        second=second.score,
        # sacrebleu gives half the width under the name ci.
        first_interval=float(first.ci),
        second_interval=float(second.ci),
        # Of a system and itself no resample differs from the mean, which sacrebleu counts as significant.
        p_value=1.0 if same else second.p_value,
        signature=signature,
    )
