"""Lines of a manifest: keys and values of a sample."""

import math
from typing import Any, TypeGuard

from ..core.errors import DataError, did_you_mean
from ..core.sample import SPLITS, TASKS, Medium, Sample
from ..core.text import find_unstorable

_TEXT_KEYS = ("id", "split", "text", "language")
_MEDIA: tuple[Medium, ...] = ("video", "poses")
_OPTIONAL_KEYS = (*_MEDIA, "references", "signer", "start_seconds", "end_seconds")
_KEYS = (*_TEXT_KEYS, "num_frames", "fps", *_OPTIONAL_KEYS, "task")
_CHOICES: dict[str, tuple[str, ...]] = {"split": SPLITS, "task": TASKS}
"""Keys with a few possible values."""


def read_sample(row: dict[str, Any], place: str) -> Sample:
    """Return the sample of a line.

    Raises:
        DataError: a key is unknown or missing, or a value has the wrong form. The message begins with
            ``place``.
    """
    check_keys(row, known=_KEYS, required=(*_TEXT_KEYS, "num_frames", "fps"), place=place)
    if all(row.get(medium) is None for medium in _MEDIA):
        raise DataError(f"{place} must have the key 'video' or 'poses', but has {', '.join(row)}.")
    for key, value in row.items():
        wanted = _fault(key, value)
        if wanted:
            known = list(_CHOICES.get(key, ()))
            hint = did_you_mean(value, known) if isinstance(value, str) else ""
            raise DataError(f"{place}: '{key}' must be {wanted}, but is {value!r}.{hint}")
    # JSON has lists alone, and a sample must not change.
    values: dict[str, Any] = row | {"references": tuple(row.get("references") or ())}
    return Sample(**values)


def _fault(key: str, value: Any) -> str | None:
    """Return the requirement of ``key`` that ``value`` does not meet, or None."""
    if value is None and key in _OPTIONAL_KEYS:
        return None
    if key in _CHOICES:
        return None if value in _CHOICES[key] else f"one of {', '.join(_CHOICES[key])}"
    if key in _TEXT_KEYS or key == "signer" or key in _MEDIA:
        return text_fault(value)
    if key == "references":
        return None if isinstance(value, list) and not any(map(text_fault, value)) else "a list of texts"
    if key == "num_frames":
        # type() and not isinstance(): True is an int to Python.
        return None if type(value) is int and value >= 1 else "a whole number of frames, at least 1"
    if key == "fps":
        return None if _is_number(value) and value > 0 else "a number of frames per second above 0"
    return None if _is_number(value) and value >= 0 else "a number of seconds"


def text_fault(value: Any) -> str | None:
    """Return the requirement of a text that ``value`` does not meet, or None."""
    if not (isinstance(value, str) and value.strip()):
        return "text that is not empty"
    found = find_unstorable(value)
    return f"without {found}" if found else None


def _is_number(value: Any) -> TypeGuard[float]:
    return isinstance(value, (int, float)) and not isinstance(value, bool) and math.isfinite(value)


def check_keys(row: dict[str, Any], *, known: tuple[str, ...], required: tuple[str, ...], place: str) -> None:
    """Refuse unknown and missing keys of a line.

    Raises:
        DataError: there is such a key. The message begins with ``place``.
    """
    for key in row:
        if key not in known:
            # A misspelt optional key would otherwise be lost without an error.
            raise DataError(f"{place} has the unknown key '{key}'.{did_you_mean(key, list(known))}")
    for key in required:
        if key not in row:
            raise DataError(f"{place} must have the key '{key}', but has {', '.join(row)}.")
