"""Scores of tasks other than translation: glosses of a sentence, and the word of a single sign.

Glosses and words are compared as they are: words end at spaces in every language, and no protocol changes the
text. Uni-Sign (Li et al., ICLR 2025, ``fine_tuning.py``) compares in the same way: the word error rate over
glosses, and equality of text for single signs.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from statistics import fmean
from typing import Any

from ..core.sample import Task
from .score import check_pairs
from .scorecard import table
from .word_errors import WordErrorRate, WordErrors


@dataclass(frozen=True, kw_only=True)
class GlossScores:
    """Scores of glosses, in percent."""

    wer: float
    """Word error rate: edits for 100 glosses of the references. Lower is better, and 100 is no limit."""
    exact_match: float
    """Share of clips without an edit."""
    word_errors: WordErrors
    """Counts of edits."""
    count: int
    """Number of clips."""

    def to_dict(self) -> dict[str, Any]:
        """Return the fields by name, unrounded, with the counts of edits among the fields."""
        fields = asdict(self)
        return fields | fields.pop("word_errors")

    def table(self) -> list[list[str]]:
        """Return a header and a row."""
        errors = self.word_errors
        edits = [
            errors.insertions,
            errors.deletions,
            errors.substitutions,
            errors.reference_words,
            self.count,
        ]
        return [
            ["recognise", "WER", "exact", "insertions", "deletions", "substitutions", "glosses", "clips"],
            ["", f"{self.wer:.2f}", f"{self.exact_match:.2f}", *map(str, edits)],
        ]


@dataclass(frozen=True, kw_only=True)
class SignScores:
    """Scores of single signs, in percent."""

    top1: float
    """Share of clips with the right word: top-1 per instance."""
    top1_per_class: float
    """Mean over the words of the references of the share of clips with the right word: top-1 per class."""
    classes: int
    """Number of different words in the references."""
    count: int
    """Number of clips."""

    def to_dict(self) -> dict[str, Any]:
        """Return the fields by name, unrounded."""
        return asdict(self)

    def table(self) -> list[list[str]]:
        """Return a header and a row."""
        return [
            ["isolated", "top-1", "top-1 per class", "classes", "clips"],
            ["", f"{self.top1:.2f}", f"{self.top1_per_class:.2f}", str(self.classes), str(self.count)],
        ]


TaskScores = GlossScores | SignScores


def score_glosses(hypotheses: Sequence[str], references: Sequence[str]) -> GlossScores:
    """Score glosses, separated by white space.

    Raises:
        DataError: no pairs, unequal counts, or an empty reference.

    >>> score_glosses(["REGEN NORD", "SONNE"], ["REGEN", "SONNE"]).wer
    50.0
    """
    check_pairs(hypotheses, references)
    metric = WordErrorRate(tokenizer=lambda text: text)
    errors: WordErrors = metric.corpus_score(hypotheses, [references]).errors
    return GlossScores(
        wer=errors.rate,
        exact_match=100 * errors.exact_sentences / len(references),
        word_errors=errors,
        count=len(references),
    )


def score_signs(hypotheses: Sequence[str], references: Sequence[str]) -> SignScores:
    """Score the words of single signs. White space at the ends does not count.

    Raises:
        DataError: no pairs, unequal counts, or an empty reference.

    >>> scores = score_signs(["book", "book", "tea", "tea"], ["book", "book", "book", "tea"])
    >>> scores.top1, round(scores.top1_per_class, 1)
    (75.0, 83.3)
    """
    check_pairs(hypotheses, references)
    found: dict[str, list[bool]] = {}
    for hypothesis, reference in zip(hypotheses, references, strict=True):
        word = reference.strip()
        found.setdefault(word, []).append(hypothesis.strip() == word)
    return SignScores(
        top1=100 * fmean(is_right for own in found.values() for is_right in own),
        top1_per_class=100 * fmean(map(fmean, found.values())),
        classes=len(found),
        count=len(references),
    )


SCORERS: Mapping[Task, Callable[[Sequence[str], Sequence[str]], TaskScores]] = {
    "recognise": score_glosses, "isolated": score_signs,
}  # fmt: skip
"""Scorer of each task other than ``translate``, whose scores need a protocol."""


def describe_task_scores(scores: Mapping[Task, TaskScores], *, missing: int = 0) -> str:
    """Return a table for each task.

    Args:
        scores: scores by task.
        missing: number of clips of the split without a hypothesis, of any task, for a column of each table.
    """
    lacking = [["missing"], [str(missing)]] if missing else [[], []]
    tables = [
        [[*row, *more] for row, more in zip(each.table(), lacking, strict=True)] for each in scores.values()
    ]
    return "\n\n".join(table(rows) for rows in tables)
