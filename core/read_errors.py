"""Errors of numpy, pickle, zip and torch on damaged files, or on files with code to run."""

import pickle
import re
import struct
import tokenize
import zipfile
import zlib

READ_ERRORS = (
    pickle.UnpicklingError, zipfile.BadZipFile, zlib.error, OSError, EOFError, MemoryError, OverflowError,
    RuntimeError, LookupError, TypeError, ValueError, AttributeError, AssertionError, NameError, SyntaxError,
    struct.error, tokenize.TokenError,
)  # fmt: skip
"""Errors of numpy, pickle and torch on damaged bytes."""


def blocked_class(error: BaseException) -> str | None:
    """Return the name of the class in torch's error about a blocked class, or None for another error."""
    # torch has no attribute for the name, only this text.
    found = re.search(r"GLOBAL ([\w.]+)", str(error))
    return found[1] if found and isinstance(error, pickle.UnpicklingError) else None
