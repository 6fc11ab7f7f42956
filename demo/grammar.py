"""Demo language: words, sentences, and the order of signs.

English words have the order subject, verb, object, place, time. Signs have the order TIME PLACE SUBJECT
QUALITY OBJECT QUALITY VERB NOT. Articles, prepositions and auxiliaries have no sign. A verb has one sign, and
the sign of the time gives the tense::

    "the boy did not eat a red apple in the garden yesterday"
    YESTERDAY GARDEN BOY APPLE RED EAT NOT
"""

import random
from collections.abc import Collection, Iterable, Iterator
from dataclasses import dataclass

PEOPLE = ("boy", "girl", "man", "woman", "teacher", "doctor")
PERSON_QUALITIES = ("old", "young", "happy")
FOODS = ("apple", "bread", "soup")
DRINKS = ("milk", "tea", "water")
TEXTS = ("book", "letter")
ANIMALS = ("dog", "cat", "bird")
THINGS = FOODS + DRINKS + TEXTS + ANIMALS
UNCOUNTED = ("bread", "soup", *DRINKS)
THING_QUALITIES = ("red", "white", "big")

VERB_FORMS = {"eat": "ate", "drink": "drank", "read": "read", "see": "saw", "buy": "bought"}
PARTICIPLES = {"eat": "eaten", "drink": "drunk", "read": "read", "see": "seen", "buy": "bought"}
VERB_OBJECTS = {"eat": FOODS, "drink": DRINKS, "read": TEXTS, "see": THINGS, "buy": THINGS}
PLACE_PHRASES = {"house": "in the house", "garden": "in the garden", "school": "at school"}
TIME_PHRASES = {
    "today": "today",
    "yesterday": "yesterday",
    "tomorrow": "tomorrow",
    "morning": "in the morning",
}

FIELD_WORDS: dict[str, Collection[str]] = {
    "person": PEOPLE, "person_quality": PERSON_QUALITIES, "verb": VERB_FORMS, "thing": THINGS,
    "thing_quality": THING_QUALITIES, "place": PLACE_PHRASES, "time": TIME_PHRASES, "negated": ("not",),
}  # fmt: skip
"""Words of each field of a sentence."""

MAX_SIGNS = 6
"""Maximum number of signs in a sentence, which keeps clips under four seconds."""


@dataclass(frozen=True, kw_only=True)
class Sentence:
    """Sentence with a sign per field with a value, and the sign ``not`` if negated."""

    person: str
    person_quality: str | None = None
    verb: str
    thing: str
    thing_quality: str | None = None
    place: str | None = None
    time: str | None = None
    negated: bool = False

    @property
    def signs(self) -> tuple[str, ...]:
        """The signs, in signing order.

        >>> Sentence(person="boy", verb="eat", thing="apple", time="today").signs
        ('today', 'boy', 'apple', 'eat')
        """
        spoken = (self.time, self.place, self.person, self.person_quality)
        spoken += (self.thing, self.thing_quality, self.verb, "not" if self.negated else None)
        return tuple(sign for sign in spoken if sign is not None)

    @property
    def text(self) -> str:
        """The English sentence.

        >>> Sentence(person="boy", verb="eat", thing="apple", time="today").text
        'the boy eats an apple today'
        """
        phrases = [
            f"the {_qualified(self.person, self.person_quality)}",
            _verb_phrase(self.verb, time=self.time, negated=self.negated),
            _with_article(self.thing, quality=self.thing_quality),
            PLACE_PHRASES[self.place] if self.place else "",
            TIME_PHRASES[self.time] if self.time else "",
        ]
        return " ".join(phrase for phrase in phrases if phrase)

    @property
    def wordings(self) -> tuple[str, ...]:
        """All English sentences of this meaning, ``text`` first: two, or three with a time or a place.

        >>> for wording in Sentence(person="boy", verb="eat", thing="apple", time="today").wordings:
        ...     print(wording)
        the boy eats an apple today
        an apple is eaten by the boy today
        today the boy eats an apple
        """
        person = f"the {_qualified(self.person, self.person_quality)}"
        thing = _with_article(self.thing, quality=self.thing_quality)
        place = PLACE_PHRASES[self.place] if self.place else ""
        time = TIME_PHRASES[self.time] if self.time else ""
        passive = [
            thing,
            _passive(self.verb, time=self.time, negated=self.negated),
            "by",
            person,
            place,
            time,
        ]
        # The last phrase comes first: the time, or the place of a sentence without a time.
        front = time or place
        active = self.text.removesuffix(front).strip()
        fronted = [f"{front} {active}"] if front else []
        return (self.text, " ".join(filter(None, passive)), *fronted)


def single_sign_texts() -> dict[str, str]:
    """Return the text of each one-sign utterance by sign, for the whole vocabulary."""
    texts = {person: f"the {person}" for person in PEOPLE}
    texts |= {thing: _with_article(thing, quality=None) for thing in THINGS}
    texts |= {verb: _verb_phrase(verb, time=None, negated=False) for verb in VERB_FORMS}
    texts |= {word: word for word in (*PERSON_QUALITIES, *THING_QUALITIES, "not")}
    return texts | PLACE_PHRASES | TIME_PHRASES


def sentence_of(signs: Iterable[str]) -> Sentence:
    """Return the sentence that has the given signs, in whatever order they come.

    Every field has words of its own, so the order of signs carries no meaning in this language.

    >>> sentence_of(["eat", "apple", "boy", "today"]).text
    'the boy eats an apple today'
    """
    fields: dict[str, str] = {}
    for sign in signs:
        fields |= {field: sign for field, words in FIELD_WORDS.items() if sign in words}
    return Sentence(
        person=fields["person"], person_quality=fields.get("person_quality"), verb=fields["verb"],
        thing=fields["thing"], thing_quality=fields.get("thing_quality"), place=fields.get("place"),
        time=fields.get("time"), negated="negated" in fields,
    )  # fmt: skip


def draw_sentences(rng: random.Random) -> Iterator[Sentence]:
    """Yield sentences with distinct texts, without end."""
    seen: set[str] = set()
    while True:
        sentence = _draw_sentence(rng)
        # No text twice: a test sentence must not stand in train.
        if len(sentence.signs) <= MAX_SIGNS and sentence.text not in seen:
            seen.add(sentence.text)
            yield sentence


def _draw_sentence(rng: random.Random) -> Sentence:
    def sometimes(words: tuple[str, ...], share: float) -> str | None:
        return rng.choice(words) if rng.random() < share else None

    verb = rng.choice(tuple(VERB_OBJECTS))
    thing = rng.choice(VERB_OBJECTS[verb])
    return Sentence(
        person=rng.choice(PEOPLE),
        person_quality=sometimes(PERSON_QUALITIES, 0.3),
        verb=verb,
        thing=thing,
        # "a big milk" is no English.
        thing_quality=None if thing in UNCOUNTED else sometimes(THING_QUALITIES, 0.4),
        place=sometimes(tuple(PLACE_PHRASES), 0.4),
        time=sometimes(tuple(TIME_PHRASES), 0.4),
        negated=rng.random() < 0.2,
    )


def _qualified(noun: str, quality: str | None) -> str:
    return f"{quality} {noun}" if quality else noun


def _with_article(thing: str, *, quality: str | None) -> str:
    phrase = _qualified(thing, quality)
    if thing in UNCOUNTED:
        return phrase
    return f"{'an' if phrase[0] in 'aeiou' else 'a'} {phrase}"


def _verb_phrase(verb: str, *, time: str | None, negated: bool) -> str:
    if time == "tomorrow":
        return f"will not {verb}" if negated else f"will {verb}"
    if time == "yesterday":
        return f"did not {verb}" if negated else VERB_FORMS[verb]
    return f"does not {verb}" if negated else f"{verb}s"


def _passive(verb: str, *, time: str | None, negated: bool) -> str:
    be = {"tomorrow": "will be", "yesterday": "was"}.get(time or "", "is")
    if negated:
        be = "will not be" if be == "will be" else f"{be} not"
    return f"{be} {PARTICIPLES[verb]}"
