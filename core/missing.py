"""Clips unusable for a step. Each is logged as a warning and counted in the result."""

import logging
from collections.abc import Mapping

logger = logging.getLogger(__name__)

Missing = Mapping[str, str]
"""Clip id -> why the clip cannot be used."""


def log_missing(split: str, missing: Missing) -> None:
    """Log a warning for each missing clip."""
    for id, reason in missing.items():
        logger.warning(f"{split} clip {id!r} is missing: {reason}")


def describe_missing(missing: Missing) -> str:
    """Return the missing clips as lines for people.

    >>> describe_missing({"a": "it is damaged"})
    "1 clip is missing:\\n  'a': it is damaged"
    """
    count = "1 clip is" if len(missing) == 1 else f"{len(missing)} clips are"
    return "\n".join([f"{count} missing:", *(f"  {id!r}: {reason}" for id, reason in missing.items())])
