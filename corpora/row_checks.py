"""Checks of annotation rows by what they say, before any video is opened."""

from collections.abc import Iterable

from ..core.text import find_unstorable
from .release import Rejected, Row


def check_rows(rows: Iterable[Row | Rejected], *, is_published: bool) -> list[Row | Rejected]:
    """Reject the rows that can give no sample, whatever their video is.

    Args:
        rows: all rows of a release, in the order of its files.
        is_published: whether an empty sentence is the publisher's, and so no fault of the user's.
    """
    seen: set[tuple[str, str]] = set()
    checked: list[Row | Rejected] = []
    for row in rows:
        if isinstance(row, Row):
            is_double = (row.split, row.id) in seen
            seen.add((row.split, row.id))
            row = _check(row, is_double=is_double, is_published=is_published)
        checked.append(row)
    return checked


def _check(row: Row, *, is_double: bool, is_published: bool) -> Row | Rejected:
    if not row.id:
        return row.reject("no id")
    if fault := _text_fault(row):
        return row.reject("text that no file can hold", fault)
    if len(row.id.splitlines()) > 1:
        return row.reject("id of several lines", repr(row.id))
    if is_double:
        return row.reject("id twice in one split", "the first row of this id is kept")
    if not row.text:
        return row.reject("empty sentence", fault=not is_published)
    return row


def _text_fault(row: Row) -> str | None:
    """Return which text of a row holds a character that UTF-8, HDF5 or a file system cannot store."""
    texts = {"id": row.id, "text": row.text, "language": row.language, "signer": row.signer or ""}
    for name, text in (*texts.items(), *(("video", place) for place in row.places)):
        if found := find_unstorable(text):
            return f"{name!r} holds {found}"
    return None
