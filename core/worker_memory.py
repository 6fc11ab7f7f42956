"""Memory that worker processes read without a copy, however they are started."""

import multiprocessing
import multiprocessing.util
import shutil
from multiprocessing.sharedctypes import RawArray
from pathlib import Path
from typing import Any

import numpy as np

from .errors import ConfigError

GIB = 2**30
SHARED_MEMORY = Path("/dev/shm")


class WorkerMemory:
    """Bytes that this process and its workers have in common.

    A forked worker shares all memory of its parent. Under the start methods ``spawn`` and ``forkserver`` a
    worker receives a copy of everything through a pipe: there the bytes lie in memory that is mapped instead.
    """

    def __init__(self, size: int, *, workers: int) -> None:
        """Make room for ``size`` bytes.

        Args:
            size: bytes.
            workers: processes that will be started and read the bytes; 0 for none.

        Raises:
            ConfigError: the memory must be shared, and neither /dev/shm nor the temporary folder has room.
        """
        self.size = size
        self.is_shared = workers > 0 and multiprocessing.get_start_method() != "fork"
        if self.is_shared:
            _check_room(size)
        # Not RawArray in any case: where /dev/shm is small, its bytes lie in a file on the disk.
        room = max(1, size)
        self._bytes: Any = RawArray("B", room) if self.is_shared else np.empty(room, np.uint8)

    def view(self, start: int, shape: tuple[int, ...], dtype: Any = np.uint8) -> np.ndarray:
        """Return an array that lies in these bytes, from byte ``start`` on."""
        count = int(np.prod(shape, dtype=np.int64))
        return np.frombuffer(self._bytes, dtype=dtype, count=count, offset=start).reshape(shape)

    def __getstate__(self) -> dict[str, Any]:
        if not self.is_shared:
            raise TypeError("Memory that was made for no workers must not be copied to one.")
        return self.__dict__


def _check_room(size: int) -> None:
    """Refuse what has no room: a write beyond the end of a full disk kills the process without a word."""
    folders = [SHARED_MEMORY, Path(multiprocessing.util.get_temp_dir())]  # the latter where the first is full
    free = {str(folder): shutil.disk_usage(folder).free for folder in folders if folder.is_dir()}
    if max(free.values()) < size:
        found = " and ".join(f"{name} has {count / GIB:.1f}" for name, count in free.items())
        raise ConfigError(
            f"{size / GIB:.1f} GiB must be shared with worker processes, but {found} GiB free.\n"
            "Set training.workers=0, keep less in memory, or set TMPDIR to a folder with room."
        )
