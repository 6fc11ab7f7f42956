"""Demo language whose order carries meaning: words, sentences, and every reading of a set of signs.

Signs and words stand in the same order, and a role has no mark but its place. Articles, prepositions and the
``and`` have no sign, so the signs of a sentence tell little without their order::

    ANNA SHOW DOG BEN               "anna shows the dog to ben"
    BEN SHOW ANNA DOG               "ben shows anna to the dog"
    OLD DOG SEE BEN CALL ANNA       "the old dog sees ben and calls anna"
    BEN SEE ANNA CALL OLD DOG       "ben sees anna and calls the old dog"
"""

import random
import re
from collections.abc import Collection, Iterator, Sequence
from dataclasses import astuple, dataclass, fields
from itertools import permutations

# Words of a class by falling frequency.
NAMES = (
    "anna", "ben", "clara", "david", "emma", "felix", "greta", "hugo", "ida", "jonas", "karl", "lena",
    "max", "nora", "otto", "paul",
)  # fmt: skip
NOUNS = (
    "dog", "cat", "teacher", "horse", "doctor", "bird", "child", "farmer", "king", "cow", "fox", "queen",
    "wolf", "baker",
)  # fmt: skip
BEINGS = tuple(
    word for pair in zip(NAMES, (*NOUNS, None, None), strict=True) for word in pair if word is not None
)
"""Names and nouns by turns: all can be subject, object and recipient."""
PARTICIPLES = {
    "see": "seen", "hear": "heard", "like": "liked", "help": "helped", "find": "found",
    "follow": "followed", "visit": "visited", "call": "called", "know": "known", "love": "loved",
}  # fmt: skip
GIVING = {"introduce": "introduced", "show": "shown", "send": "sent", "bring": "brought"}
"""Verbs with a recipient."""
QUALITIES = ("old", "young", "big", "small", "happy", "tired", "brave", "clever", "angry")
PLACE_PHRASES = {
    "house": "in the house", "garden": "in the garden", "school": "at school", "town": "in town",
    "farm": "on the farm", "forest": "in the forest",
}  # fmt: skip
TIMES = ("today", "now", "often", "again", "sometimes")

MIN_SIGNS, MAX_SIGNS = 4, 6
"""Number of signs of a sentence. With three, half of a sentence is right whatever its order."""
QUALITY_SHARE, GIVING_SHARE, SECOND_VERB_SHARE, PLACE_SHARE, TIME_SHARE = 0.3, 0.35, 0.5, 0.1, 0.1

_CLASSES: dict[str, Collection[str]] = {
    "T": TIMES, "Q": QUALITIES, "N": BEINGS, "V": PARTICIPLES, "G": GIVING, "P": PLACE_PHRASES
}  # fmt: skip
_CLASS_OF = {sign: letter for letter, signs in _CLASSES.items() for sign in signs}
# A group for each field of a sentence. An empty group never stands for a sign.
_PATTERNS = (
    re.compile("(T?)(Q?)(N)(V)(Q?)(N)()()()(P?)"),
    re.compile("(T?)(Q?)(N)(V)(Q?)(N)(V)(Q?)(N)(P?)"),
    re.compile("(T?)(Q?)(N)(G)(Q?)(N)()(Q?)(N)(P?)"),
)


@dataclass(frozen=True, kw_only=True)
class OrderedSentence:
    """Sentence with a sign per field with a value, in the order of the fields."""

    time: str | None = None
    subject_quality: str | None = None
    subject: str
    verb: str
    object_quality: str | None = None
    object: str
    second_verb: str | None = None
    last_quality: str | None = None
    last: str | None = None
    """Recipient of a verb of giving, or object of the second verb."""
    place: str | None = None

    @property
    def signs(self) -> tuple[str, ...]:
        """The signs, in signing order.

        >>> OrderedSentence(subject="anna", verb="show", object="dog", last="ben").signs
        ('anna', 'show', 'dog', 'ben')
        """
        return tuple(sign for sign in astuple(self) if sign is not None)

    @property
    def text(self) -> str:
        """The English sentence.

        >>> OrderedSentence(subject="dog", verb="see", object="ben", second_verb="call", last="anna").text
        'the dog sees ben and calls anna'
        """
        return _joined(self.time, self._active, self._place)

    @property
    def wordings(self) -> tuple[str, ...]:
        """All English sentences of this meaning, ``text`` first: active or passive, and another word order.

        >>> for wording in OrderedSentence(subject="dog", verb="see", object="ben", time="today").wordings:
        ...     print(wording)
        today the dog sees ben
        today ben is seen by the dog
        the dog sees ben today
        """
        passive = _joined(self.time, self._passive, self._place)
        if self.time or self.place:
            moved = _joined(self._place, self._active, self.time)
            return (self.text, passive, moved)
        return (self.text, passive)

    @property
    def _active(self) -> str:
        subject, whom = _phrase(self.subject, self.subject_quality), self._object
        if self.last is None:
            return f"{subject} {self.verb}s {whom}"
        if self.second_verb is None:
            return f"{subject} {self.verb}s {whom} to {self._last}"
        return f"{subject} {self.verb}s {whom} and {self.second_verb}s {self._last}"

    @property
    def _passive(self) -> str:
        subject, participle = _phrase(self.subject, self.subject_quality), (PARTICIPLES | GIVING)[self.verb]
        done = f"{self._object} is {participle}"
        if self.last is not None and self.second_verb is None:
            done += f" to {self._last}"
        elif self.second_verb is not None:
            done += f" and {self._last} is {PARTICIPLES[self.second_verb]}"
        return f"{done} by {subject}"

    @property
    def _object(self) -> str:
        return _phrase(self.object, self.object_quality)

    @property
    def _last(self) -> str:
        assert self.last is not None
        return _phrase(self.last, self.last_quality)

    @property
    def _place(self) -> str | None:
        return PLACE_PHRASES[self.place] if self.place else None


def single_sign_texts() -> dict[str, str]:
    """Return the text of each one-sign utterance by sign, for the whole vocabulary."""
    texts = {being: _phrase(being, None) for being in BEINGS}
    texts |= {verb: f"{verb}s" for verb in (*PARTICIPLES, *GIVING)}
    return texts | {word: word for word in (*QUALITIES, *TIMES)} | PLACE_PHRASES


def read_signs(signs: Sequence[str]) -> OrderedSentence | None:
    """Return the sentence of signs in this order. None: the order is no sentence.

    >>> read_signs(["dog", "see", "cat"]).text
    'the dog sees the cat'
    >>> read_signs(["see", "dog", "cat"]) is None
    True
    """
    classes = "".join(_CLASS_OF[sign] for sign in signs)
    for pattern in _PATTERNS:
        if found := pattern.fullmatch(classes):
            spans = [found.span(group + 1) for group in range(len(fields(OrderedSentence)))]
            values = [signs[start] if start < end else None for start, end in spans]
            names = (field.name for field in fields(OrderedSentence))
            # The pattern has a sign wherever a field may not be None.
            return OrderedSentence(**dict(zip(names, values, strict=True)))  # pyright: ignore[reportArgumentType]
    return None


def readings(signs: Collection[str]) -> list[OrderedSentence]:
    """Return all sentences that have these signs, in any order, by text.

    >>> [reading.text for reading in readings(["cat", "dog", "see"])]
    ['the cat sees the dog', 'the dog sees the cat']
    """
    found = {read_signs(order) for order in permutations(sorted(signs))} - {None}
    return sorted((reading for reading in found if reading is not None), key=lambda one: one.text)


def draw_sentences(rng: random.Random) -> Iterator[OrderedSentence]:
    """Yield sentences with distinct texts, without end. Words have Zipf's frequencies."""
    seen: set[str] = set()
    while True:
        sentence = _draw_sentence(rng)
        if MIN_SIGNS <= len(sentence.signs) <= MAX_SIGNS and sentence.text not in seen:
            seen.add(sentence.text)
            yield sentence


def _draw_sentence(rng: random.Random) -> OrderedSentence:
    def sometimes(words: Collection[str], share: float) -> str | None:
        return _draw_word(words, rng) if rng.random() < share else None

    is_giving = rng.random() < GIVING_SHARE
    second_verb = None if is_giving else sometimes(PARTICIPLES, SECOND_VERB_SHARE)
    has_last = is_giving or second_verb is not None
    return OrderedSentence(
        time=sometimes(TIMES, TIME_SHARE),
        subject_quality=sometimes(QUALITIES, QUALITY_SHARE),
        subject=_draw_word(BEINGS, rng),
        verb=_draw_word(GIVING if is_giving else PARTICIPLES, rng),
        object_quality=sometimes(QUALITIES, QUALITY_SHARE),
        object=_draw_word(BEINGS, rng),
        second_verb=second_verb,
        last_quality=sometimes(QUALITIES, QUALITY_SHARE) if has_last else None,
        last=_draw_word(BEINGS, rng) if has_last else None,
        place=sometimes(PLACE_PHRASES, PLACE_SHARE),
    )


def _draw_word(words: Collection[str], rng: random.Random) -> str:
    # Zipf's law with Mandelbrot's offset: without an offset one word in four would be the first.
    weights = [1 / (rank + 2) for rank in range(len(words))]
    return rng.choices(tuple(words), weights)[0]


def _phrase(being: str, quality: str | None) -> str:
    article = None if being in NAMES else "the"
    return _joined(article, quality, being)


def _joined(*words: str | None) -> str:
    return " ".join(word for word in words if word)
