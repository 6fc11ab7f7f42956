"""Complete writes to a disk that may become full at any moment."""

from collections.abc import Callable
from io import SEEK_SET, FileIO
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
    with a segmentation fault (HDF5 2.0, on a disk of a megabyte). This class keeps the first error, ignores
    later operations, and raises the error at the end of the block. h5py also ignores the number of bytes that
    a write took, and this class writes every byte.
    """

    def __init__(self, path: Path) -> None:
        # Unbuffered: an error must appear at the write that failed, not at a later flush.
        self._file: FileIO = path.open("wb+", buffering=0)
        self._error: OSError | None = None

    def write(self, data: memoryview) -> int:
        """Write all of ``data`` at the current place."""
        self._attempt(lambda: write_all(self._file, data))
        return len(data)

    def truncate(self, size: int) -> None:
        """Make the file so long."""
        self._attempt(lambda: self._file.truncate(size))

    def read(self, size: int = -1) -> bytes:
        """Return the next bytes."""
        return self._file.read(size) or b""

    def readinto(self, data: memoryview) -> int:
        """Fill ``data`` with the next bytes and return how many there were."""
        return self._file.readinto(data) or 0

    def seek(self, offset: int, whence: int = SEEK_SET) -> int:
        """Move to a position and return the position."""
        return self._file.seek(offset, whence)

    def tell(self) -> int:
        """Return the current position."""
        return self._file.tell()

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
        # After the first error every operation is ignored, so that HDF5 can close all of its objects.
        if self._error is None:
            try:
                act()
            except OSError as error:
                self._error = error
