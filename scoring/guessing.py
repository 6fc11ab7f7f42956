"""Baselines without video: references that occur in training, and systems that only guess."""

from collections import Counter
from collections.abc import Sequence

from ..core.errors import DataError
from .shuffle import other_sentences


def count_verbatim(references: Sequence[str], training: Sequence[str]) -> int:
    """Return how many references stand, letter for letter, among the training sentences.

    >>> count_verbatim(["regen", "sonne"], ["sonne", "schnee"])
    1
    """
    known = frozenset(training)
    return sum(reference in known for reference in references)


def guesses(
    hypotheses: Sequence[str], references: Sequence[str], training: Sequence[str]
) -> dict[str, list[str]]:
    """Return the sentences of systems without video.

    Args:
        hypotheses: sentences of a real system.
        references: one reference for each hypothesis.
        training: sentences of the training split.

    Returns:
        ``most_frequent``: the most frequent training sentence for every reference, the first of several.
        ``nearest_length``: the training sentence nearest in number of characters, the first of several. This
        baseline knows the length of each reference.
        ``shuffled``: the sentences of the system, each in the place of a pair with another reference.

    Raises:
        DataError: there is no training sentence, or all references are the same.
    """
    if not training:
        raise DataError("The baselines need training sentences, but there are none.")
    # A fixed seed: the baseline of a test set is a constant.
    order = other_sentences([str(number) for number in range(len(references))], references, seed=0)
    return {
        "most_frequent": [Counter(training).most_common(1)[0][0]] * len(references),
        "nearest_length": _nearest_by_length(references, training),
        # Real sentences in wrong places show what fluent text alone scores.
        "shuffled": [hypotheses[index] for index in order],
    }


def _nearest_by_length(references: Sequence[str], training: Sequence[str]) -> list[str]:
    # One pass over the training text: lengths repeat, and test sets ask for few of them.
    first_of_length: dict[int, str] = {}
    for sentence in training:
        first_of_length.setdefault(len(sentence), sentence)
    nearest = {
        length: first_of_length[min(first_of_length, key=lambda own: abs(own - length))]
        for length in {len(reference) for reference in references}
    }
    return [nearest[len(reference)] for reference in references]
