"""Pairing of hypotheses with references."""

from collections import Counter
from collections.abc import Iterable, Sequence

from ..core.errors import DataError
from .sentences import Sentences

SHOWN_IDS = 3


def pair(hypotheses: Sentences, references: Sentences) -> list[str]:
    """Return the hypotheses in the order of the references.

    Sentences are matched by id where both sides have ids, and by line otherwise.

    Raises:
        DataError: ids are duplicated, missing or unknown, counts differ, or a side or a reference is empty.
    """
    for side in (hypotheses, references):
        if not side.texts:
            raise DataError(f"{side.source} must hold sentences, but has none.")
    # BLEU against nothing is undefined, and an empty reference is a fault of the file.
    for index, text in enumerate(references.texts):
        if not text.strip():
            raise DataError(f"{references.place(index)}: a reference must hold text, but is {text!r}.")
    if hypotheses.ids is None or references.ids is None:
        _check_counts(hypotheses, references)
        return list(hypotheses.texts)
    _check_ids(hypotheses, references)
    # Ids are unique here, as _check_ids has shown.
    by_id = dict(zip(hypotheses.ids, hypotheses.texts, strict=True))
    return [by_id[name] for name in references.ids]


def further_references(files: Sequence[Sentences], references: Sentences) -> list[list[str]]:
    """Return the further references of each reference, without empty sentences.

    Files with ids may hold more ids than ``references``, whose clips may be a part of a split.

    Raises:
        DataError: an id is missing or duplicated, or without ids the counts differ.
    """
    columns = []
    for file in files:
        if file.ids is None or references.ids is None:
            _check_counts(file, references)
            columns.append(file.texts)
            continue
        _check_unique(file)
        by_id = dict(zip(file.ids, file.texts, strict=True))
        if missing := [name for name in references.ids if name not in by_id]:
            raise DataError(
                f"{file.source} must hold every id of {references.source}, but lacks {_shown(missing)}.\n"
                "Leave the sentence empty where there is no further reference."
            )
        columns.append([by_id[name] for name in references.ids])
    return [[text for text in row if text.strip()] for row in zip(*columns, strict=True)]


def drop_missing(
    references: Sentences, sides: Sequence[Sentences]
) -> tuple[Sentences, list[Sentences], list[str]]:
    """Keep the sentences with ids in all files.

    Returns:
        The references and sides with common ids, and the ids of references that a side lacks.

    Raises:
        DataError: a file has no ids, an unknown id, or the same id twice.
    """
    for side in (references, *sides):
        if side.ids is None:
            raise DataError(f"{side.source} must have ids to tell which sentences are missing, but has none.")
        _check_unique(side)
    for side in sides:
        _check_extra(side, references)
    ids = references.ids or ()
    # Every system must be scored on the same sentences.
    known = frozenset(ids).intersection(*(side.ids or () for side in sides))
    kept, *kept_sides = (
        side.only([index for index, name in enumerate(side.ids or ()) if name in known])
        for side in (references, *sides)
    )
    return kept, kept_sides, [name for name in ids if name not in known]


def differing_references(own: Sentences, references: Sentences) -> list[str]:
    """Return a sentence with the place and both texts for each differing reference.

    Raises:
        DataError: the ids or counts differ.
    """
    return [
        f"{text!r} where {references.place(index)} has {expected!r}"
        for index, (text, expected) in enumerate(zip(pair(own, references), references.texts, strict=True))
        if text != expected
    ]


def check_same_references(own: Sentences, references: Sentences) -> None:
    """Refuse two predictions files with different references.

    Raises:
        DataError: a reference, an id or the count differs. The message names the first difference.
    """
    if differences := differing_references(own, references):
        raise DataError(
            f"{own.source} must hold the same references as {references.source}, but has "
            f"{differences[0]}.\nName the true ones with --refs."
        )


def common_language(*sides: Sentences) -> str | None:
    """Return the common language of all files, or None where no file has a language.

    Raises:
        DataError: the files have several languages, but a tokenizer serves one language.
    """
    languages = sorted(frozenset[str]().union(*(side.languages for side in sides)))
    # A tokenizer serves one language, and a mixed score means nothing.
    if len(languages) > 1:
        sources = ", ".join(dict.fromkeys(side.source for side in sides))
        raise DataError(
            f"{sources} must be in one language, but hold {', '.join(languages)}.\n"
            "Score one language at a time, or name one with --language."
        )
    return languages[0] if languages else None


def _check_counts(hypotheses: Sentences, references: Sentences) -> None:
    # Without ids a lost line would shift all later pairs.
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
    # A doubled id would replace a sentence in silence.
    if doubled := [name for name, count in Counter(side.ids).items() if count > 1]:
        raise DataError(f"{side.source} must hold each id once, but doubles {_shown(doubled)}.")


def _check_extra(side: Sentences, references: Sentences) -> None:
    wanted = frozenset(references.ids or ())
    # An unknown id often means the wrong split or the wrong references.
    if extra := [name for name in side.ids or () if name not in wanted]:
        raise DataError(
            f"{side.source} must hold only ids of {references.source}, but also has {_shown(extra)}."
        )


def _shown(ids: Iterable[str]) -> str:
    """Return the count of ids and the first three."""
    ids = list(ids)
    names = ", ".join(map(repr, ids[:SHOWN_IDS])) + (", ..." if len(ids) > SHOWN_IDS else "")
    return f"{len(ids)}: {names}"
