"""Checks of annotation rows before any video is opened."""

from collections.abc import Iterable

from ..core.text import find_unstorable
from .release import Rejected, Row


def check_rows(rows: Iterable[Row | Rejected], *, is_published: bool) -> list[Row | Rejected]:
    """Return the rows, with unusable rows as rejected rows. Videos are not checked.

    Args:
        rows: all rows of a release, in order.
        is_published: whether the annotations are published. Then an empty sentence is no fault.
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
    # Lists of ids hold an id for each line.
    if len(row.id.splitlines()) > 1:
        return row.reject("id of several lines", repr(row.id))
    if is_double:
        return row.reject("id twice in one split", "the first row of this id is kept")
    if not row.text:
        return row.reject("empty sentence", fault=not is_published)
    return row


def _text_fault(row: Row) -> str | None:
    """Return the name of the text with a character that cannot be stored in files, or None."""
    texts = {"id": row.id, "text": row.text, "language": row.language, "signer": row.signer or ""}
    texts["poses"] = row.poses or ""
    lists = {"video": row.places, "references": row.references}
    for name, text in (*texts.items(), *((name, text) for name, found in lists.items() for text in found)):
        if found := find_unstorable(text):
            return f"{name!r} holds {found}"
    return None
