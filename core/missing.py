"""Clips that a step cannot use. They are named on standard error and counted in the result."""

from collections.abc import Mapping

from .progress import say

Missing = Mapping[str, str]
"""Clip id -> why the clip cannot be used."""


def say_missing(split: str, missing: Missing) -> None:
    """Print a line on standard error for each missing clip."""
    for id, reason in missing.items():
        say(f"{split} clip {id!r} is missing: {reason}")


def describe_missing(missing: Missing) -> str:
    """Return the missing clips as lines for people.

    >>> describe_missing({"a": "it is damaged"})
    "1 clip is missing:\\n  'a': it is damaged"
    """
    count = "1 clip is" if len(missing) == 1 else f"{len(missing)} clips are"
    return "\n".join([f"{count} missing:", *(f"  {id!r}: {reason}" for id, reason in missing.items())])
