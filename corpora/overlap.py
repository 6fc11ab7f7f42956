"""Overlap of splits: sentences and signers of dev and test that training, or dev, has too.

A score on sentences of the training split measures memory as well as translation.
"""

import unicodedata
from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from ..core.sample import Sample, Split
from ..core.text import UNSPACED

PAIRS: tuple[tuple[Split, Split], ...] = (("dev", "train"), ("test", "train"), ("test", "dev"))
"""Pairs of compared splits."""
SHORTEST = 5
"""Words of the shortest sentence that can have a near-duplicate with another word."""

Words = tuple[str, ...]


@dataclass(frozen=True, kw_only=True)
class Overlap:
    """Clips and signers of a split that another split shares."""

    split: Split
    other: Split
    """The split to compare with."""
    clips: int
    """Number of clips of ``split``."""
    sentences: int
    """Clips of ``split`` with a sentence of ``other``, equal after Unicode NFC and with single spaces."""
    near_duplicates: int
    """Further clips of ``split``, with a sentence that differs from one of ``other`` in one word at most."""
    signers: int
    """Signers of ``split`` that sign in ``other``."""
    all_signers: int
    """Known signers of ``split``."""


def find_overlaps(samples: Iterable[Sample]) -> list[Overlap]:
    """Compare dev with train, test with train, and test with dev.

    Words are compared without case and punctuation. Characters of scripts without spaces are words. A word
    may be inserted, deleted or replaced. A sentence of fewer than ``SHORTEST`` words is a near-duplicate of
    equal words alone, because another word changes most of the sentence.

    Returns:
        An overlap for each pair of ``PAIRS`` of which both splits have clips.
    """
    by_split: dict[Split, list[Sample]] = defaultdict(list)
    for sample in samples:
        by_split[sample.split].append(sample)
    # Each sentence is cut into words once, because corpora repeat sentences and pairs repeat splits.
    words = {text: split_words(text) for rows in by_split.values() for text in {row.text for row in rows}}
    return [
        _compare(by_split[split], by_split[other], words)
        for split, other in PAIRS
        if by_split[split] and by_split[other]
    ]


def split_words(text: str) -> Words:
    """Return the words of a sentence in lower case, without punctuation.

    >>> split_words("Regen, im NORDEN."), split_words("几岁？")
    (('regen', 'im', 'norden'), ('几', '岁'))
    """
    letters = "".join(
        letter
        for letter in unicodedata.normalize("NFKC", text).casefold()
        if not unicodedata.category(letter).startswith("P")
    )
    return tuple(UNSPACED.sub(r" \g<0> ", letters).split())


def find_near(sentences: set[Words], others: set[Words]) -> set[Words]:
    """Return the sentences at a word edit distance of at most 1 from one of ``others``.

    Time and memory grow with the number of words times their number in a sentence, not with the number of
    pairs: two sentences that differ in one word are equal without this word.
    """
    # Position of a word and the sentence without this word -> sentences.
    shortened: dict[tuple[int, Words], list[Words]] = defaultdict(list)
    for words in sentences:
        for key in _without_a_word(words):
            shortened[key].append(words)
    found = sentences & others
    for words in others:
        for position, rest in _without_a_word(words):
            # Another word at this position.
            found.update(shortened.get((position, rest), ()))
            # A word less than the other sentence.
            if rest in sentences:
                found.add(rest)
        # A word more than the other sentence, at any position.
        for position in range(len(words) + 1):
            found.update(shortened.get((position, words), ()))
    return {words for words in found if len(words) >= SHORTEST or words in others}


def _without_a_word(words: Words) -> Iterable[tuple[int, Words]]:
    return ((position, words[:position] + words[position + 1 :]) for position in range(len(words)))


def _compare(own: Sequence[Sample], other: Sequence[Sample], words: dict[str, Words]) -> Overlap:
    verbatim = {_normal_form(sample.text) for sample in other}
    new = [sample for sample in own if _normal_form(sample.text) not in verbatim]
    # A sentence of punctuation alone has no words to compare.
    near = find_near({words[sample.text] for sample in new} - {()}, {words[row.text] for row in other})
    # Unknown signers are no common signer.
    signers = {sample.signer for sample in own} - {None}
    return Overlap(
        split=own[0].split,
        other=other[0].split,
        clips=len(own),
        sentences=len(own) - len(new),
        near_duplicates=sum(words[sample.text] in near for sample in new),
        signers=len(signers & {sample.signer for sample in other}),
        all_signers=len(signers),
    )


def _normal_form(text: str) -> str:
    return " ".join(unicodedata.normalize("NFC", text).split())
