"""The 512 bytes in front of a shard: what it is, and the SHA-256 of everything behind them.

HDF5 calls this a user block and does not look into it. So a shard can be told from other HDF5
files, and checked for damage, without a parser ever touching what may be damaged.
"""

import os
from pathlib import Path

from ..core.errors import CacheError
from ..core.files import sha256_file
from .format import FORMAT_VERSION

HEADER_BYTES = 512
"""The smallest user block HDF5 allows."""
_TAG = "fla feature cache"


def write_checksum_header(path: Path) -> None:
    """Fill the user block of a closed HDF5 file, and sync the file to disk."""
    seal = _header_of(path)
    with path.open("rb+") as file:
        file.write(seal)
        file.flush()
        os.fsync(file.fileno())


def read_checksum(path: Path) -> str:
    """Return the SHA-256 that a shard's user block promises.

    Raises:
        CacheError: the file is no feature cache, or of a newer format.
    """
    lines = _read_block(path).rstrip(b"\0").decode("ascii", errors="replace").split("\n")
    return lines[1].removeprefix("sha256 ") if len(lines) > 1 else ""


def checksum_matches(path: Path) -> bool:
    """Tell whether a shard is as it was written, its user block too; HDF5 is not opened.

    Raises:
        CacheError: as :func:`read_checksum`.
    """
    return _read_block(path) == _header_of(path)


def _header_of(path: Path) -> bytes:
    """Return the user block that belongs in front of what is behind it."""
    text = f"{_TAG} {FORMAT_VERSION}\nsha256 {sha256_file(path, offset=HEADER_BYTES)}\n"
    return text.encode("ascii").ljust(HEADER_BYTES, b"\0")


def _read_block(path: Path) -> bytes:
    """Return the user block of a file that has the name and version of a shard."""
    try:
        with path.open("rb") as file:
            block = file.read(HEADER_BYTES)
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
