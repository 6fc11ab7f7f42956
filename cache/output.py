"""Complete writes to a disk that may become full at any moment."""

from collections.abc import Callable
from io import SEEK_END, SEEK_SET, FileIO
from pathlib import Path
from types import TracebackType
from typing import Self


def write_all(file: FileIO, data: bytes | memoryview) -> None:
    """Write all of ``data``. One write of an unbuffered file may take only a part."""
    view = memoryview(data)
    while view:
        view = view[file.write(view) :]


class HDF5Output:
    """New file for h5py that keeps a write error until h5py has closed the file.

    ::

        with HDF5Output(path) as output, h5py.File(output, "w") as file: ...

    On a full disk, HDF5 leaves unwritten objects open, h5py raises OSError or RuntimeError, and Python ends
    with a segmentation fault (HDF5 2.0, on a disk of a megabyte). This class keeps the first error, keeps
    later writes in memory, and raises the error at the end of the block. h5py also ignores the number of
    bytes that a write took, and this class writes every byte.

    Attributes:
        failed: a write has failed. Whoever writes much should stop: every further byte stays in memory.
    """

    def __init__(self, path: Path) -> None:
        # Unbuffered: an error must appear at the write that failed, not at a later flush.
        self._file: FileIO = path.open("wb+", buffering=0)
        self._error: OSError | None = None
        self._unwritten: list[tuple[int, bytes]] = []
        self._position = 0

    @property
    def failed(self) -> bool:
        """Whether a write has failed."""
        return self._error is not None

    def write(self, data: memoryview) -> int:
        """Write all of ``data`` at the current place."""
        self._attempt(lambda: write_all(self._file, data))
        if self.failed:
            self._unwritten.append((self._position, bytes(data)))
        self._position += len(data)
        return len(data)

    def truncate(self, size: int) -> None:
        """Set the length of the file, in bytes."""
        self._attempt(lambda: self._file.truncate(size))

    def read(self, size: int) -> bytes:
        """Return the next bytes, as :meth:`readinto`. h5py asks for this method and calls the other one."""
        data = bytearray(size)
        self.readinto(memoryview(data))
        return bytes(data)

    def readinto(self, data: memoryview) -> int:
        """Fill ``data`` with the next bytes and return the number of bytes.

        Bytes that were never written are zero. h5py does not look at the number: without the zeros, HDF5
        would parse what the buffer held before, and end Python.
        """
        view = memoryview(data).cast("B")
        self._file.seek(self._position)
        found = self._file.readinto(view) or 0
        view[found:] = bytes(len(view) - found)
        for start, content in self._unwritten:
            _overlay(view, self._position, start, content)
        self._position += len(view)
        return len(view)

    def seek(self, offset: int, whence: int = SEEK_SET) -> int:
        """Move to a position and return the position."""
        self._position = self._file.seek(offset, whence)
        if whence == SEEK_END:
            # HDF5 refuses to read beyond the end, and the bytes in memory may lie there.
            ends = [start + len(content) + offset for start, content in self._unwritten]
            self._position = max([self._position, *ends])
        return self._position

    def tell(self) -> int:
        """Return the current position."""
        return self._position

    def flush(self) -> None:
        """Do nothing, because there is no buffer."""

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._file.close()
        if self._error is not None:
            raise self._error

    def _attempt(self, act: Callable[[], object]) -> None:
        # After the first error the disk is left alone, so that HDF5 can close all of its objects.
        if self._error is None:
            try:
                act()
            except OSError as error:
                self._error = error


def _overlay(view: memoryview, position: int, start: int, content: bytes) -> None:
    """Copy ``content`` (at ``start`` of the file) into ``view`` (at ``position``) where the two meet."""
    first, end = max(position, start), min(position + len(view), start + len(content))
    if first < end:
        view[first - position : end - position] = content[first - start : end - start]
