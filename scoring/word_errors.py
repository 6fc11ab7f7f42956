"""Word error rate (WER) and exact match of a corpus.

WER is the number of edits (insertions, deletions and substitutions of words) that turn the hypotheses into
the references, divided by the number of words in the references: the definition of speech recognition, as
jiwer and Kaldi compute WER. The counts of a corpus are added before the division. The text is that of the
protocol, and a word is a token of the protocol's BLEU: a character for Chinese, Japanese and Thai under most
protocols. Exact match is the share of sentences without an edit.

Every edit costs 1. sclite and signjoey align with costs 3, 3 and 4 and may count more edits. Several
alignments can have the fewest edits. The alignment with the fewest substitutions, which has the most correct
words, decides the three counts, so that the counts do not depend on an implementation.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from sacrebleu.metrics.base import Metric, Score


@dataclass(frozen=True)
class WordErrors:
    """Edits that turn hypotheses into references."""

    insertions: int
    """Words of hypotheses without a word in the reference."""
    deletions: int
    """Words of references without a word in the hypothesis."""
    substitutions: int
    """Words of hypotheses in the place of another word."""
    reference_words: int
    """Words of the references."""
    exact_sentences: int
    """Sentences without an edit."""

    @property
    def rate(self) -> float:
        """Edits for 100 words of the references. More than 100 is possible, because insertions count."""
        # A tokenizer or protocol may leave no word: 13a removes "<skipped>".
        return 100 * (self.insertions + self.deletions + self.substitutions) / max(self.reference_words, 1)

    def __str__(self) -> str:
        return (
            f"{self.insertions} insertions, {self.deletions} deletions and "
            f"{self.substitutions} substitutions in {self.reference_words} words"
        )


class WordErrorScore(Score):
    """WER of a corpus, with the counts."""

    def __init__(self, errors: WordErrors) -> None:
        super().__init__("WER", errors.rate)
        self.errors = errors


class WordErrorRate(Metric):
    """WER as a sacrebleu metric, for resampling and comparison by sacrebleu."""

    def __init__(self, tokenizer: Callable[[str], str]) -> None:
        super().__init__()
        self._tokenizer = tokenizer

    def _preprocess_segment(self, sent: str) -> str:
        # BLEU removes white space at the end in the same way.
        return self._tokenizer(sent.rstrip())

    def _extract_reference_info(self, refs: Sequence[str]) -> dict[str, Any]:
        return {"reference": refs[0].split()}

    def _compute_segment_statistics(self, hypothesis: str, ref_kwargs: dict[str, Any]) -> list[Any]:
        wanted = ref_kwargs["reference"]
        edits = count_edits(hypothesis.split(), wanted)
        return [*edits, len(wanted), int(not any(edits))]

    def _aggregate_and_compute(self, stats: list[list[Any]]) -> WordErrorScore:
        return self._compute_score_from_stats([sum(column) for column in zip(*stats, strict=True)])

    def _compute_score_from_stats(self, stats: Sequence[float]) -> WordErrorScore:
        # A resample holds sums as floating-point numbers.
        return WordErrorScore(WordErrors(*map(int, stats)))


def count_edits(hypothesis: Sequence[str], reference: Sequence[str]) -> tuple[int, int, int]:
    """Return the insertions, deletions and substitutions that turn a hypothesis into a reference.

    >>> count_edits("im norden regen".split(), "regen im süden".split())
    (1, 1, 1)
    >>> count_edits("a b".split(), [])
    (2, 0, 0)
    """
    # One number holds both counts to minimise: edits first, then substitutions. A sentence cannot have
    # `weight` substitutions.
    weight = len(hypothesis) + len(reference) + 1
    row = [weight * column for column in range(len(reference) + 1)]
    for word in hypothesis:
        diagonal, row[0] = row[0], row[0] + weight
        for column, other in enumerate(reference, 1):
            substituted = diagonal if word == other else diagonal + weight + 1
            diagonal = row[column]
            row[column] = min(substituted, diagonal + weight, row[column - 1] + weight)
    edits, substitutions = divmod(row[-1], weight)
    # Of the other edits, insertions outnumber deletions by the difference of the lengths.
    surplus = len(hypothesis) - len(reference)
    insertions = (edits - substitutions + surplus) // 2
    return insertions, insertions - surplus, substitutions
