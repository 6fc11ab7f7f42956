"""Sentences of a report: scores of single sentences, choice of clips, scores by length and by signer."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from statistics import fmean

from ..core.errors import DataError
from ..core.sample import DEFAULT_TASK
from ..scoring.protocol import primary_code
from ..scoring.protocols import DEFAULT_PROTOCOL, find_protocol
from ..scoring.rouge import CHARACTER_LANGUAGES
from ..scoring.score import Scores, score
from .read_run import RunRecord

UNKNOWN_SIGNER = "unknown"
MOST_GROUPS = 4
"""Groups of clips by the length of the reference."""
MOST_SIGNERS = 20
"""Signers with a row of their own, those with the most clips first."""


@dataclass(frozen=True, kw_only=True)
class Sentence:
    """Translation of a clip, with a score of its own."""

    id: str
    reference: str
    prediction: str
    language: str
    chrf: float
    """chrF2 of this sentence alone, 0-100. Sentence BLEU would be 0 for most short sentences."""

    @property
    def length(self) -> int:
        """Length of the reference in words, or in characters for languages without spaces."""
        return count_words(self.reference, self.language)


@dataclass(frozen=True, kw_only=True)
class Group:
    """Scores of a part of the clips."""

    label: str
    clips: int
    scores: Scores | None
    """None: the protocol refuses the text."""
    length_ratio: float
    """Length of all predictions divided by the length of all references."""


@dataclass(frozen=True, kw_only=True)
class Choice:
    """Clips to show, by their scores."""

    title: str
    ids: list[str]


def read_sentences(run: RunRecord) -> list[Sentence]:
    """Return the scored translations of a run, in the order of the file. Empty: there is no file.

    Raises:
        DataError: the file lacks a column.
    """
    if run.predictions is None:
        return []
    columns = run.predictions.columns
    if lacking := [name for name in ("id", "prediction", "reference", "language") if name not in columns]:
        raise DataError(f"{run.predictions.path} must have the column {lacking[0]!r}, but has not.")
    chrf = find_protocol(DEFAULT_PROTOCOL).chrf()
    # A file of translations alone states no tasks. Glosses and single signs have metrics of their own.
    tasks = columns.get("task", (DEFAULT_TASK,) * len(columns["id"]))
    names = ("id", "reference", "prediction", "language")
    rows = zip(*(columns[name] for name in names), tasks, strict=True)
    return [
        Sentence(
            id=id,
            reference=reference,
            prediction=prediction,
            language=language,
            chrf=chrf.sentence_score(prediction, [reference]).score,
        )
        for id, reference, prediction, language, task in rows
        if task == DEFAULT_TASK
    ]


def choose(systems: Sequence[Sequence[Sentence]], *, count: int) -> list[Choice]:
    """Return the best, median and worst clips, by the mean chrF over systems on the same clips.

    Args:
        systems: the sentences of each run, of the same clips.
        count: number of clips of each kind, fewer where there are few clips. A clip is shown once.
    """
    scores = [{row.id: row.chrf for row in sentences} for sentences in systems]
    means = {row.id: fmean(own[row.id] for own in scores) for row in systems[0]}
    # Equal scores are common at 0 and 100. The id makes the order definite.
    ranked = sorted(means, key=lambda id: (-means[id], id))
    count = max(min(count, len(ranked) // 3), 1)
    best, rest = ranked[:count], ranked[count:]
    worst, rest = rest[max(len(rest) - count, 0) :], rest[: max(len(rest) - count, 0)]
    start = max((len(rest) - count) // 2, 0)
    chosen = {"Best": best, "Median": rest[start : start + count], "Worst": worst[::-1]}
    return [Choice(title=title, ids=ids) for title, ids in chosen.items() if ids]


def by_length(sentences: Sequence[Sentence]) -> list[Group]:
    """Return scores by the length of the reference, in groups of about equal size."""
    lengths = sorted(row.length for row in sentences)
    cuts = {lengths[len(lengths) * part // MOST_GROUPS] for part in range(1, MOST_GROUPS)}
    bounds = [lengths[0], *sorted(cuts - {lengths[0]}), lengths[-1] + 1]
    groups: list[Group] = []
    for low, high in zip(bounds, bounds[1:], strict=False):
        own = [row for row in sentences if low <= row.length < high]
        if own:
            groups.append(_group(f"{low}" if high == low + 1 else f"{low}–{high - 1}", own))
    return groups


def by_signer(sentences: Sequence[Sentence], signers: Mapping[str, str]) -> list[Group]:
    """Return scores by signer, the signers with the most clips first. The last row may join the rest.

    Args:
        sentences: the sentences of a run.
        signers: id of a clip -> signer.
    """
    found: dict[str, list[Sentence]] = {}
    for row in sentences:
        found.setdefault(signers.get(row.id) or UNKNOWN_SIGNER, []).append(row)
    ranked = sorted(found.items(), key=lambda item: (-len(item[1]), item[0]))
    shown, rest = ranked[:MOST_SIGNERS], ranked[MOST_SIGNERS:]
    groups = [_group(signer, own) for signer, own in shown]
    if rest:
        groups.append(_group(f"{len(rest)} other signers", [row for _, own in rest for row in own]))
    return groups


def score_all(sentences: Sequence[Sentence]) -> Scores | None:
    """Return the scores of sentences of one language, or None where the protocol refuses them."""
    languages = {row.language for row in sentences}
    # A tokenizer serves one language, and a mixed score means nothing.
    if len(languages) != 1:
        return None
    try:
        return score(
            [row.prediction for row in sentences],
            [row.reference for row in sentences],
            language=languages.pop(),
        )
    except DataError:
        return None


def count_words(text: str, language: str) -> int:
    """Return the number of words, or of characters for a language without spaces.

    >>> count_words("morgen regen", "de"), count_words("明天 下雨", "zh")
    (2, 4)
    """
    return len(split_words(text, language))


def split_words(text: str, language: str) -> list[str]:
    """Return the words of a text, or the characters for a language without spaces."""
    return list("".join(text.split())) if has_no_spaces(language) else text.split()


def has_no_spaces(language: str) -> bool:
    """Return whether a language is written without spaces between words."""
    return primary_code(language) in CHARACTER_LANGUAGES


def words_of_tokens(
    ids: Sequence[int], decode: Callable[[Sequence[int]], str], *, language: str
) -> tuple[list[str], list[int]]:
    """Return the words of a sentence, and the number of the word of each token.

    Args:
        ids: tokens without the end token.
        decode: the decoder of the tokenizer.
        language: ISO 639 code of the sentence.
    """
    words = split_words(decode(ids), language)
    # Decoding prefixes shows where words begin, for every kind of tokenizer.
    counts = [count_words(decode(ids[: end + 1]), language) for end in range(len(ids))]
    return words, [min(max(count - 1, 0), len(words) - 1) for count in counts]


def _group(label: str, sentences: Sequence[Sentence]) -> Group:
    # Words are counted as in the references, so that the ratio of equal texts is 1.
    written = sum(count_words(row.prediction, row.language) for row in sentences)
    return Group(
        label=label,
        clips=len(sentences),
        scores=score_all(sentences),
        length_ratio=written / max(sum(row.length for row in sentences), 1),
    )
