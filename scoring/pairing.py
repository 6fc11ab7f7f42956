"""Bring hypotheses into the order of their references, or say why they do not belong together."""

from collections import Counter
from collections.abc import Iterable, Sequence

from ..core.errors import DataError
from .sentences import Sentences

SHOWN_IDS = 3


def pair(hypotheses: Sentences, references: Sentences) -> list[str]:
    """Return the hypotheses in the order of the references.

    Where both sides have ids they are matched by id, else line by line.

    Raises:
        DataError: ids are doubled, missing or left over; counts differ; a side is or a reference is empty.
    """
    for side in (hypotheses, references):
        if not side.texts:
            raise DataError(f"{side.source} must hold sentences, but has none.")
    for index, text in enumerate(references.texts):
        if not text.strip():
            raise DataError(f"{references.place(index)}: a reference must hold text, but is {text!r}.")
    if hypotheses.ids is None or references.ids is None:
        _check_counts(hypotheses, references)
        return list(hypotheses.texts)
    _check_ids(hypotheses, references)
    by_id = dict(zip(hypotheses.ids, hypotheses.texts, strict=True))
    return [by_id[name] for name in references.ids]


def drop_missing(
    references: Sentences, sides: Sequence[Sentences]
) -> tuple[Sentences, list[Sentences], list[str]]:
    """Keep what all files have.

    Returns:
        The references and sides of the ids that every side has, and the reference ids that one lacks.

    Raises:
        DataError: a file has no ids, so that nobody can say which sentence is missing; or an id that is not
            among the references, or one twice.
    """
    for side in (references, *sides):
        if side.ids is None:
            raise DataError(f"{side.source} must have ids to tell which sentences are missing, but has none.")
        _check_unique(side)
    for side in sides:
        _check_extra(side, references)
    ids = references.ids or ()
    known = frozenset(ids).intersection(*(side.ids or () for side in sides))
    kept, *kept_sides = (
        side.only([index for index, name in enumerate(side.ids or ()) if name in known])
        for side in (references, *sides)
    )
    return kept, kept_sides, [name for name in ids if name not in known]


def differing_references(own: Sentences, references: Sentences) -> list[str]:
    """Return a sentence for each reference that is not what it should be; it names the place and both texts.

    Raises:
        DataError: the ids or counts differ.
    """
    return [
        f"{text!r} where {references.place(index)} has {expected!r}"
        for index, (text, expected) in enumerate(zip(pair(own, references), references.texts, strict=True))
        if text != expected
    ]


def check_same_references(own: Sentences, references: Sentences) -> None:
    """Refuse two predictions files that were made against different references.

    Raises:
        DataError: a reference differs, or the ids or counts do; it names the first.
    """
    if differences := differing_references(own, references):
        raise DataError(
            f"{own.source} must hold the same references as {references.source}, but has "
            f"{differences[0]}.\nName the true ones with --refs."
        )


def common_language(*sides: Sentences) -> str | None:
    """Return the one language the files give, or None where they give none.

    Raises:
        DataError: they give several; one tokenizer cannot serve them.
    """
    languages = sorted(frozenset[str]().union(*(side.languages for side in sides)))
    if len(languages) > 1:
        sources = ", ".join(dict.fromkeys(side.source for side in sides))
        raise DataError(
            f"{sources} must be in one language, but hold {', '.join(languages)}.\n"
            "Score one language at a time, or name one with --language."
        )
    return languages[0] if languages else None


def _check_counts(hypotheses: Sentences, references: Sentences) -> None:
    if len(hypotheses.texts) != len(references.texts):
        raise DataError(
            f"{hypotheses.source} must hold one sentence for each of the {len(references.texts)} in "
            f"{references.source}, but holds {len(hypotheses.texts)}.\n"
            "Give both files an id column to have the missing ones named."
        )


def _check_ids(side: Sentences, references: Sentences) -> None:
    _check_unique(side)
    _check_unique(references)
    known = frozenset(side.ids or ())
    if missing := [name for name in references.ids or () if name not in known]:
        raise DataError(
            f"{side.source} must hold every id of {references.source}, but lacks {_shown(missing)}.\n"
            "Score those it has with --allow-missing."
        )
    _check_extra(side, references)


def _check_unique(side: Sentences) -> None:
    if doubled := [name for name, count in Counter(side.ids).items() if count > 1]:
        raise DataError(f"{side.source} must hold each id once, but doubles {_shown(doubled)}.")


def _check_extra(side: Sentences, references: Sentences) -> None:
    wanted = frozenset(references.ids or ())
    if extra := [name for name in side.ids or () if name not in wanted]:
        raise DataError(
            f"{side.source} must hold only ids of {references.source}, but also has {_shown(extra)}."
        )


def _shown(ids: Iterable[str]) -> str:
    """Return the count of ids and the first three."""
    ids = list(ids)
    names = ", ".join(map(repr, ids[:SHOWN_IDS])) + (", ..." if len(ids) > SHOWN_IDS else "")
    return f"{len(ids)}: {names}"
