"""Unicode normal forms: a letter has two encodings, and every metric counts two letters."""

from collections.abc import Sequence
from typing import Literal
from unicodedata import is_normalized


def differing_forms(hypotheses: Sequence[str], references: Sequence[str]) -> str | None:
    """Return a note if neither NFC nor NFD holds for all sentences of both sides, or None.

    >>> differing_forms(["ko\u0308ln"], ["k\u00f6ln"])
    '1 of 1 hypotheses and 0 of 1 references are not in NFC, so one letter may count as two'
    >>> differing_forms(["koeln"], ["k\u00f6ln"])
    """
    sides = {"hypotheses": hypotheses, "references": references}
    # If either form holds everywhere, letters of both sides have the same encoding.
    if any(not any(_outside(side, form) for side in sides.values()) for form in ("NFC", "NFD")):
        return None
    counts = [f"{_outside(side, 'NFC')} of {len(side)} {name}" for name, side in sides.items()]
    return f"{' and '.join(counts)} are not in NFC, so one letter may count as two"


def _outside(sentences: Sequence[str], form: Literal["NFC", "NFD"]) -> int:
    return sum(not is_normalized(form, sentence) for sentence in sentences)
