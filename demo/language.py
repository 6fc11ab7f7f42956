"""The two demo languages: grammar, signs, signers, and the sentences of test.

``roles``: each word has one role, so the signs of a sentence tell the sentence in any order. ``order``: roles
are told by the order alone, and test is made of pairs with the same signs in another order.
"""

import random
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal, Protocol

from . import grammar, order_grammar
from .sign_forms import ORDER_FORMS, ROLE_FORMS, SignForm
from .signs import PLAIN, Manner

LanguageName = Literal["roles", "order"]


class SignedSentence(Protocol):
    """Sentence of a demo language: a dataclass with a field for each role."""

    @property
    def signs(self) -> tuple[str, ...]:
        """The signs, in signing order."""
        ...

    @property
    def text(self) -> str:
        """The English sentence."""
        ...

    @property
    def wordings(self) -> tuple[str, ...]:
        """All English sentences of this meaning, ``text`` first."""
        ...


@dataclass(frozen=True, kw_only=True)
class DemoLanguage:
    """Sign language that the demo generates."""

    forms: Mapping[str, SignForm]
    """Form of each sign."""
    single_sign_texts: Callable[[], Mapping[str, str]]
    """Text of each one-sign utterance by sign."""
    draw_sentences: Callable[[random.Random], Iterator[SignedSentence]]
    """Endless distinct sentences."""
    readings: Callable[[Collection[str]], Sequence[SignedSentence]]
    """All sentences with the given signs, in any order."""
    read: Callable[[Sequence[str]], SignedSentence | None]
    """The sentence of signs in their order. None: the signs are no sentence."""
    make: Callable[..., SignedSentence]
    """The sentence of the given fields."""
    manner: Manner = PLAIN
    """Manner of signing."""
    signers: int
    """Number of signers. The first of :data:`.signers.SIGNERS` are taken."""
    new_signers: int
    """Number of signers in test only, the last."""
    new_signer_every: int
    """Distance between test clips of new signers. 1: all test clips."""
    is_paired: bool = False
    """Whether each dev and test sentence has a partner with the same signs in another order."""
    min_edits: int = 1
    """Least number of word edits between a training sentence and a sentence of dev or test."""


def _read_roles(signs: Collection[str]) -> list[Any]:
    return [grammar.sentence_of(signs)]


LANGUAGES: dict[LanguageName, DemoLanguage] = {
    "roles": DemoLanguage(
        forms=ROLE_FORMS,
        single_sign_texts=grammar.single_sign_texts,
        draw_sentences=grammar.draw_sentences,
        readings=_read_roles,
        read=grammar.sentence_of,
        make=grammar.Sentence,
        signers=8,
        new_signers=1,
        new_signer_every=5,
    ),
    "order": DemoLanguage(
        forms=ORDER_FORMS,
        single_sign_texts=order_grammar.single_sign_texts,
        draw_sentences=order_grammar.draw_sentences,
        readings=order_grammar.readings,
        read=order_grammar.read_signs,
        make=order_grammar.OrderedSentence,
        # With the signers' own tempi, the slowest clip takes twice the time of the fastest.
        manner=Manner(bend=0.15, dropped=0.1, tempo=(0.8, 1.25), hand_size=1.3),
        signers=16,
        new_signers=4,
        new_signer_every=1,
        is_paired=True,
        min_edits=2,
    ),
}
