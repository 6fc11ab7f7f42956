"""File names for clips: an id is anybody's text, a file name must be safe everywhere.

An exported clip never leaves its folder, whatever its id: what a file system would take for more than
a letter is written as ``%`` and its code, as in a URL. Two ids never share a name.
"""

import hashlib
import re

_UNSAFE = re.compile(r'[\x00-\x1f\x7f%/\\:*?"<>|]|^\.')
_MAX_BYTES = 200
"""Limit of a name in bytes. File systems allow 255, a suffix and a temporary name take the rest."""
_KEPT_BYTES = 120


def clip_name(id: str, *, view: int = 0) -> str:
    """Return the file name, without a suffix, of a clip's view.

    A name that would be too long keeps its beginning and ends with ``%sha`` and the id's SHA-256.

    >>> clip_name("11August_2010_heute-1")
    '11August_2010_heute-1'
    >>> clip_name("../train/1", view=2)
    '%2E.%2Ftrain%2F1%view2'
    """
    # % itself is escaped too, so that no two ids share a name.
    name = _UNSAFE.sub(lambda found: f"%{ord(found[0]):02X}", id)
    if len(_bytes(name)) > _MAX_BYTES:
        # The beginning is kept for people, the digest makes the name unique.
        start = _bytes(name)[:_KEPT_BYTES].decode(errors="ignore")
        name = f"{start}%sha{hashlib.sha256(_bytes(id)).hexdigest()}"
    return f"{name}{view_mark(view)}"


def _bytes(text: str) -> bytes:
    return text.encode(errors="surrogatepass")  # an id that the cache will refuse has a name all the same


def view_mark(view: int) -> str:
    """Return the end of a file name for a view, empty for the clean pass.

    >>> view_mark(1)
    '%view1'
    """
    return f"%view{view}" if view else ""
