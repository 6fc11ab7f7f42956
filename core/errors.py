"""Errors that a user can correct.

::

    FlaError
    ├── ConfigError    a setting: unknown key, wrong type, values that contradict one another
    ├── DataError      corpus, manifest, video or text
    ├── CacheError     the feature cache
    ├── ModelError     an encoder directory, an LLM or its tokenizer
    └── RunError       a run directory: not empty, a part missing, settings that changed

The command line prints these errors without a traceback and ends with exit code 1.
``ValueError`` and ``TypeError`` mean a mistake in the calling code.
"""


class FlaError(Exception):
    """An error for the user to correct. The text is a sentence, then the remedy."""


class ConfigError(FlaError):
    """A setting is unknown, of the wrong type, or contradicts another."""


class DataError(FlaError):
    """A corpus, manifest, video or text cannot be used."""


class CacheError(FlaError):
    """A feature cache is damaged, incomplete, or made with another encoder or other settings."""


class ModelError(FlaError):
    """An encoder directory, an LLM or a tokenizer cannot be used."""


class RunError(FlaError):
    """A run directory exists already, or a part of the run is absent."""


def did_you_mean(name: str, known: list[str]) -> str:
    """Return `` Did you mean 'x'?`` for the nearest known name, or nothing.

    >>> did_you_mean("strid", ["stride", "phase"])
    " Did you mean 'stride'?"
    >>> did_you_mean("xyz", ["stride"])
    ''
    """
    import difflib

    near = difflib.get_close_matches(name, known, n=1)
    return f" Did you mean '{near[0]}'?" if near else ""
