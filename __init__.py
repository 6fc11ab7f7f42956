"""Gloss-free sign language translation in two stages that meet only in files."""

from importlib.metadata import version

try:
    import fcntl  # noqa: F401  # imported for the check alone
except ImportError as error:  # Windows: no locks that end with their process, no folders that can be synced
    raise ImportError(
        "fla needs a POSIX system, Linux or macOS, and this is none.\n"
        "On Windows run it inside WSL 2: wsl --install"
    ) from error

__version__ = version("fla-llm")
