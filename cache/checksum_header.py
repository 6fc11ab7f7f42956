"""Checksum header: the first 512 bytes of a shard, with a format tag and the SHA-256 of all bytes behind.

HDF5 calls the header a user block and skips it. A shard can be told from other HDF5 files, and checked for
damage, before any parser touches bytes that may be damaged.
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
    # The header is written last, so a file without a valid header is unfinished.
    with path.open("rb+") as file:
        file.write(seal)
        file.flush()
        # The rename that follows must not reach the disk before the bytes do.
        os.fsync(file.fileno())


def read_checksum(path: Path) -> str:
    """Return the SHA-256 in the checksum header of a shard.

    Raises:
        CacheError: the file is not a feature cache, or has another format version.
    """
    lines = _read_block(path).rstrip(b"\0").decode("ascii", errors="replace").split("\n")
    return lines[1].removeprefix("sha256 ") if len(lines) > 1 else ""


def checksum_matches(path: Path) -> bool:
    """Return whether a shard, header included, has the bytes that were written, without opening HDF5.

    Raises:
        CacheError: the file is not a feature cache, or has another format version.
    """
    return _read_block(path) == _header_of(path)


def _header_of(path: Path) -> bytes:
    """Return the checksum header for the bytes behind it in the file."""
    text = f"{_TAG} {FORMAT_VERSION}\nsha256 {sha256_file(path, offset=HEADER_BYTES)}\n"
    return text.encode("ascii").ljust(HEADER_BYTES, b"\0")


def _read_block(path: Path) -> bytes:
    """Return the checksum header of a file that has the tag and version of a shard."""
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
    # The version is compared before HDF5 opens the file: a later format may not be HDF5 at all.
    version = first.removeprefix(f"{_TAG} ")
    if version != str(FORMAT_VERSION):
        raise CacheError(
            f"{path} must have format version {FORMAT_VERSION}, but has {version!r}.\n"
            "Read it with the version of fla that wrote it, or extract it again."
        )
    return block
