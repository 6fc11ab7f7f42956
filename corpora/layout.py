"""Finding the parts of a release, which people unpack in more than one way."""

from collections.abc import Iterable, Sequence
from pathlib import Path

from ..core.errors import DataError


def existing(root: Path, relatives: Iterable[str]) -> list[str]:
    """Return those relative paths that exist under ``root``, in their order, each once."""
    return [place for place in dict.fromkeys(relatives) if (root / place).exists()]


def find(root: Path, relatives: Sequence[str], *, what: str) -> Path:
    """Return the first of the relative paths that exists under ``root``.

    Raises:
        DataError: none does; it names the paths tried.
    """
    found = existing(root, relatives)
    if not found:
        raise DataError(f"{root} holds no {what}; tried {', '.join(relatives)}.\nGive the release's folder.")
    return root / found[0]


def join(*parts: str) -> str:
    """Return a relative POSIX path, empty parts left out.

    >>> join("", "features", "train/clip-1")
    'features/train/clip-1'
    """
    return "/".join(part for part in parts if part)
