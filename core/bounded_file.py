"""Files with a limit of bytes, read in small blocks."""

from typing import Any

from .errors import DataError

BLOCK_BYTES = 1 << 20


class BoundedFile:
    """Input of an unpickler, limited to a number of bytes.

    A read allocates memory for the bytes that are there, never for the number of bytes asked for.
    """

    def __init__(self, file: Any, *, limit: int, name: str) -> None:
        self._file = file
        self._ahead = b""
        self._left = limit
        self._limit = limit
        self._name = name

    def begins(self) -> bool:
        """Tell whether bytes are left, and keep the first byte for the next read."""
        self._ahead = self._file.read(1)
        return bool(self._ahead)

    def rewind(self) -> None:
        """Go back to the start of the file, and allow all bytes again."""
        self._file.seek(0)
        self._ahead, self._left = b"", self._limit

    def read(self, size: int, /) -> bytes:
        """Return ``size`` bytes, fewer at the end of the file.

        Raises:
            DataError: the file goes on beyond the limit.
        """
        # One byte beyond the limit is read, to tell a file that ends there from one that goes on.
        wanted = max(0, min(size, self._left + 1) - len(self._ahead))
        blocks = []
        # gzip and io allocate a whole read in advance, so a declared length of 1 GiB must not reach them.
        while wanted and (block := self._file.read(min(wanted, BLOCK_BYTES))):
            blocks.append(block)
            wanted -= len(block)
        return self._take(b"".join(blocks))

    def readline(self) -> bytes:
        """Return the bytes up to the end of the line.

        Raises:
            DataError: the file goes on beyond the limit.
        """
        # A line without an end would otherwise be read whole, however long.
        return self._take(self._file.readline(self._left + 1))

    def _take(self, data: bytes) -> bytes:
        data, self._ahead = self._ahead + data, b""
        self._left -= len(data)
        if self._left < 0:
            raise DataError(
                f"{self._name} must unpack to at most {self._limit} bytes, but is longer.\n"
                "If you trust it, unpack it with gunzip and import the unpacked file."
            )
        return data
