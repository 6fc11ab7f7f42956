"""Bring hypotheses into the order of their references, or say why they do not belong together."""

from collections import Counter
from collections.abc import Iterable

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
    _check_ids(hypotheses.source, hypotheses.ids, references.source, references.ids)
    by_id = dict(zip(hypotheses.ids, hypotheses.texts, strict=True))
    return [by_id[name] for name in references.ids]


def check_same_references(own: Sentences, references: Sentences) -> None:
    """Refuse two predictions files that were made against different references.

    Raises:
        DataError: a reference differs, or the ids or counts do; it names the first.
    """
    for index, (text, expected) in enumerate(zip(pair(own, references), references.texts, strict=True)):
        if text != expected:
            raise DataError(
                f"{own.source} must hold the same references as {references.source}, but has {text!r} where "
                f"{references.place(index)} has {expected!r}.\nName the true ones with --refs."
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


def _check_ids(source: str, ids: tuple[str, ...], references: str, reference_ids: tuple[str, ...]) -> None:
    for name, values in ((source, ids), (references, reference_ids)):
        if doubled := [key for key, count in Counter(values).items() if count > 1]:
            raise DataError(f"{name} must hold each id once, but doubles {_shown(doubled)}.")
    known, wanted = set(ids), set(reference_ids)
    if missing := [key for key in reference_ids if key not in known]:
        raise DataError(f"{source} must hold every id of {references}, but lacks {_shown(missing)}.")
    if extra := [key for key in ids if key not in wanted]:
        raise DataError(f"{source} must hold only ids of {references}, but also has {_shown(extra)}.")


def _shown(ids: Iterable[str]) -> str:
    """Return the count of ids and the first three."""
    ids = list(ids)
    names = ", ".join(map(repr, ids[:SHOWN_IDS])) + (", ..." if len(ids) > SHOWN_IDS else "")
    return f"{len(ids)}: {names}"
