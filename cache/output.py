"""Writing whole, or failing in one place: files on a disk that may be full at any moment."""

from collections.abc import Callable
from io import SEEK_SET, FileIO
from pathlib import Path
from types import TracebackType
from typing import Self


def write_all(file: FileIO, data: bytes | memoryview) -> None:
    """Write all of ``data``: an unbuffered file may take less than it is given."""
    view = memoryview(data)
    while view:
        view = view[file.write(view) :]


class HDF5Output:
    """A new file for h5py to write to, which hides from it that a write failed until it has closed.

    ::

        with HDF5Output(path) as output, h5py.File(output, "w") as file: ...

    Left to itself, HDF5 on a full disk leaves objects open that it could not write, h5py raises now OSError
    and now RuntimeError, and Python ends with a segmentation fault (HDF5 2.0, on a disk of a megabyte).
    So the first error is kept, what HDF5 does afterwards changes nothing, and leaving the block raises
    the error. h5py also passes over how many bytes a write took; here every byte is written.
    """

    def __init__(self, path: Path) -> None:
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
        """Go to a place and return it."""
        return self._file.seek(offset, whence)

    def tell(self) -> int:
        """Return the current place."""
        return self._file.tell()

    def flush(self) -> None:
        """Do nothing: there is no buffer."""

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._file.close()
        if self._error is not None:
            raise self._error

    def _attempt(self, act: Callable[[], object]) -> None:
        if self._error is None:
            try:
                act()
            except OSError as error:
                self._error = error
