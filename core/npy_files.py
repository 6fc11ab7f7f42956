"""``.npy`` files, mapped into memory without pickle."""

from pathlib import Path

import numpy as np

from .errors import DataError
from .read_errors import READ_ERRORS


def map_npy(path: Path) -> np.ndarray:
    """Map a ``.npy`` file into memory.

    Raises:
        DataError: it is no whole ``.npy`` file, or holds pickled objects.
    """
    try:
        _check_header(path)
        array = np.load(path, mmap_mode="r", allow_pickle=False)
    except READ_ERRORS as error:
        raise DataError(f"{path} must be a whole .npy file without pickled objects, but: {error}") from error
    # numpy opens a .npz under any name.
    if not isinstance(array, np.ndarray):
        array.close()
        raise DataError(f"{path} must be a .npy file, but is a .npz archive.")
    return array


def _check_header(path: Path) -> None:
    """Refuse a header with a declared length beyond the end of the file."""
    with path.open("rb") as file:
        # Magic string, two bytes of version, then the length: 2 bytes, or 4 from 2.0 on.
        start = file.read(12)
    # numpy allocates the declared length before it reads the header.
    length = start[8:10] if start[6:7] == b"\x01" else start[8:12]
    if start.startswith(b"\x93NUMPY") and int.from_bytes(length, "little") > path.stat().st_size:
        raise ValueError("its header is longer than the file")
