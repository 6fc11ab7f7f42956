"""Checks of text for characters that files cannot store, and escapes for characters unsafe in a terminal."""

import re

_UNSTORABLE = re.compile("[\x00\ud800-\udfff]")
# Control characters but newline and tab, the bidirectional overrides and isolates, lone surrogates.
_UNPRINTABLE = re.compile("[\x00-\x08\x0b-\x1f\x7f-\x9f\u202a-\u202e\u2066-\u2069\ud800-\udfff]")

UNSPACED = re.compile(r"[\u0e00-\u0e7f\u3040-\u30ff\u3400-\u4dbf\u4e00-\u9fff]")
"""A character of Thai, kana or Han: scripts without spaces between words."""


def find_unstorable(text: str) -> str | None:
    """Return the first character that UTF-8, HDF5 or a file name cannot hold, in words, or None.

    >>> find_unstorable("rain \\ud83d")
    'U+D83D, half of a surrogate pair, at character 6'
    >>> find_unstorable("rain") is None
    True
    """
    found = _UNSTORABLE.search(text)
    if found is None:
        return None
    what = "" if found[0] == "\x00" else ", half of a surrogate pair,"
    return f"U+{ord(found[0]):04X}{what} at character {found.start() + 1}"


def printable(text: str) -> str:
    r"""Return ``text`` with control characters and bidirectional overrides as escapes.

    Newlines and tabs stay. An id from a corpus may hold ``ESC [ 2 J``, which clears the screen.

    >>> printable("clip\x1b[2J")
    'clip\\x1b[2J'
    """
    return _UNPRINTABLE.sub(_escape, text)


def one_line(text: str) -> str:
    r"""Return ``text`` as one line: like :func:`printable`, with escapes for newlines too.

    >>> one_line("clip\n1")
    'clip\\n1'
    """
    return printable(text).replace("\n", "\\n")


def printable_json(text: str) -> str:
    """Return JSON text of the same content, with JSON escapes for characters unsafe in a terminal."""
    # The characters stand inside JSON strings alone, and all lie below U+10000: four digits are enough.
    return _UNPRINTABLE.sub(lambda found: f"\\u{ord(found[0]):04x}", text)


def _escape(found: re.Match[str]) -> str:
    return found[0].encode("unicode_escape").decode("ascii")
