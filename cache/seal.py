"""The 512 bytes in front of a shard: what it is, and the SHA-256 of everything behind them.

HDF5 calls this a user block and does not look into it. So a shard can be told from other HDF5
files, and checked for damage, without a parser ever touching what may be damaged.
"""

import os
from pathlib import Path

from ..core.errors import CacheError
from ..core.files import sha256_file
from .format import FORMAT_VERSION

SEAL_BYTES = 512
"""The smallest user block HDF5 allows."""
_TAG = "fla feature cache"


def write_seal(path: Path) -> None:
    """Fill the user block of a closed HDF5 file, and sync the file to disk."""
    seal = _seal_of(path)
    with path.open("rb+") as file:
        file.write(seal)
        file.flush()
        os.fsync(file.fileno())


def read_seal(path: Path) -> str:
    """Return the SHA-256 that a shard's user block promises.

    Raises:
        CacheError: the file is no feature cache, or of a newer format.
    """
    lines = _read_block(path).rstrip(b"\0").decode("ascii", errors="replace").split("\n")
    return lines[1].removeprefix("sha256 ") if len(lines) > 1 else ""


def seal_holds(path: Path) -> bool:
    """Tell whether a shard is as it was written, its user block too; HDF5 is not opened.

    Raises:
        CacheError: as :func:`read_seal`.
    """
    return _read_block(path) == _seal_of(path)


def _seal_of(path: Path) -> bytes:
    """Return the user block that belongs in front of what is behind it."""
    text = f"{_TAG} {FORMAT_VERSION}\nsha256 {sha256_file(path, offset=SEAL_BYTES)}\n"
    return text.encode("ascii").ljust(SEAL_BYTES, b"\0")


def _read_block(path: Path) -> bytes:
    """Return the user block of a file that has the name and version of a shard."""
    try:
        with path.open("rb") as file:
            block = file.read(SEAL_BYTES)
    except OSError as error:
        raise CacheError(f"{path} cannot be read: {error.strerror}.") from error
    first = block.split(b"\n")[0].decode("ascii", errors="replace")
    if not first.startswith(f"{_TAG} "):
        raise CacheError(
            f"{path} must be a feature cache, but is another kind of file.\n"
            "Keep caches in a folder of their own, or move this file out of it."
        )
    version = first.removeprefix(f"{_TAG} ")
    if version != str(FORMAT_VERSION):
        raise CacheError(
            f"{path} must have format version {FORMAT_VERSION}, but has {version!r}.\n"
            "Read it with the version of fla that wrote it, or extract it again."
        )
    return block
