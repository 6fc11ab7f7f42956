"""Sentences of the splits of a demo corpus: partners in dev and test, and a distance to train."""

import random
from collections.abc import Callable, Iterable, Iterator

from ..core.seeds import derive_seed
from .language import DemoLanguage, SignedSentence

MIN_WORDS = 4
"""Least number of words of a sentence of dev, test and train, clips of a single sign aside."""


class SentenceDrawing:
    """Sentences of a corpus, dev and test first: their sentences do not depend on the size of train."""

    def __init__(self, language: DemoLanguage, *, seed: int) -> None:
        """Begin with the seed of the corpus."""
        self._language = language
        drawn = language.draw_sentences(random.Random(derive_seed(seed, "sentences")))
        self._sentences = (sentence for sentence in drawn if len(sentence.text.split()) >= MIN_WORDS)
        self._partners = random.Random(derive_seed(seed, "partners"))
        self._held: dict[str, SignedSentence] = {}

    def held_out(self) -> Iterator[SignedSentence]:
        """Yield sentences of dev and test, each followed by its partner where the language has pairs."""
        for sentence in self._sentences:
            pair = [sentence]
            if self._language.is_paired:
                others = [other for other in self._language.readings(sentence.signs) if other != sentence]
                if not others:
                    continue
                pair.append(self._partners.choice(others))
            # A partner may be drawn again as a sentence.
            if not any(one.text in self._held for one in pair):
                for one in pair:
                    self._held[one.text] = one
                    yield one

    def train(self) -> Iterator[SignedSentence]:
        """Yield training sentences, far enough from all sentences that :meth:`held_out` has yielded."""
        wordings = (text for sentence in self._held.values() for text in sentence.wordings)
        is_near = nearness(wordings, edits=self._language.min_edits)
        return (s for s in self._sentences if not any(map(is_near, s.wordings)))


def nearness(texts: Iterable[str], *, edits: int) -> Callable[[str], bool]:
    """Return a test whether a sentence is fewer than ``edits`` word edits away from one of ``texts``.

    Args:
        texts: the sentences to keep away from.
        edits: 1 or 2. A word that is put in, left out or replaced is an edit.

    >>> is_near = nearness(["the dog sees anna"], edits=2)
    >>> [is_near(text) for text in ("the cat sees anna", "the dog sees", "anna sees the dog")]
    [True, True, False]
    """
    known = {tuple(text.split()) for text in texts}
    if edits == 1:
        return lambda text: tuple(text.split()) in known
    replaced = {gap for words in known for gap in _replaced(words)}
    shorter = {gap for words in known for gap in _shortened(words)}

    def is_near(text: str) -> bool:
        words = tuple(text.split())
        # One word more, one word fewer, or one word replaced (none, if the sentences are equal).
        return words in shorter or not (
            known.isdisjoint(_shortened(words)) and replaced.isdisjoint(_replaced(words))
        )

    return is_near


def _replaced(words: tuple[str, ...]) -> Iterator[tuple[str | None, ...]]:
    return ((*words[:place], None, *words[place + 1 :]) for place in range(len(words)))


def _shortened(words: tuple[str, ...]) -> Iterator[tuple[str, ...]]:
    return ((*words[:place], *words[place + 1 :]) for place in range(len(words)))
