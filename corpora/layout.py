"""Search for the files of a release in the usual folder layouts."""

import os
from collections.abc import Iterable, Sequence
from pathlib import Path

from ..core.errors import DataError
from ..core.files import resolve_inside


def existing(root: Path, relatives: Iterable[str]) -> list[str]:
    """Return the relative paths with a file or folder under ``root``, in order and without duplicates."""
    # Patterns may give the same path twice, and a file must not be read twice.
    return [place for place in dict.fromkeys(relatives) if (root / place).exists()]


def find(root: Path, relatives: Sequence[str], *, what: str) -> Path:
    """Return the first relative path that exists under ``root``.

    Raises:
        DataError: no path exists. The error names the paths tried.
    """
    found = existing(root, relatives)
    if not found:
        raise DataError(f"{root} holds no {what}; tried {', '.join(relatives)}.\nGive the release's folder.")
    return root / found[0]


def locate(root: Path, file: str) -> Path:
    """Return the path of a video or pose file: an absolute path as it is, a relative path inside ``root``.

    Only a user's own table gives absolute paths. Readers of published corpora join every name to a folder.

    Raises:
        DataError: a relative path leaves ``root``.
    """
    return Path(file) if os.path.isabs(file) else resolve_inside(root, file)


def place_in(file: str, root: Path) -> str:
    """Return the path of a file, relative to ``root`` if the file lies inside ``root``."""
    # Relative paths stay valid when the corpus moves and later commands get another --root.
    if os.path.isabs(file):
        path = Path(os.path.normpath(file))
        for folder in (root, root.resolve()):
            if path.is_relative_to(folder) and path != folder:
                return path.relative_to(folder).as_posix()
    return file


def join(*parts: str) -> str:
    """Return a relative POSIX path made of the parts, without empty parts.

    >>> join("", "features", "train/clip-1")
    'features/train/clip-1'
    """
    return "/".join(part for part in parts if part)
