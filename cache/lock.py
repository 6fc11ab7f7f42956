"""Lock on a folder: a single process at a time, released by the operating system when the process ends."""

import errno
import fcntl
import os
import socket
from pathlib import Path

from ..core.errors import CacheError

_held: set[int] = set()


def _close_in_child() -> None:
    """Close the locks that a fork copied. A worker that outlives a killed parent must not hold the lock."""
    for descriptor in _held:
        os.close(descriptor)
    _held.clear()


# flock belongs to the open file, and a forked worker shares the open file with its parent.
os.register_at_fork(after_in_child=_close_in_child)


class FolderLock:
    """Exclusive lock on a folder, which is created if missing.

    The lock file ``lock`` names the host and process of the holder.
    """

    def __init__(self, folder: Path) -> None:
        """Take the lock.

        Raises:
            CacheError: another process holds it, or the file system has no locks.
            OSError: the disk is full, or fails.
        """
        self.path = folder / "lock"
        self._descriptor = self._take()
        _held.add(self._descriptor)
        try:
            # The name of an earlier holder may be longer.
            os.ftruncate(self._descriptor, 0)
            os.write(self._descriptor, f"process {os.getpid()} on {socket.gethostname()}".encode())
        except OSError:
            self.release()
            raise

    def release(self) -> None:
        """Release the lock. A second call does nothing."""
        if self._descriptor in _held:
            _held.remove(self._descriptor)
            os.close(self._descriptor)

    def _take(self) -> int:
        while True:
            descriptor = self._open()
            try:
                fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except OSError as error:
                # The text is for people. The lock itself is the kernel's.
                holder = os.read(descriptor, 1000).decode(errors="replace")
                os.close(descriptor)
                raise self._refusal(error, holder) from error
            if self._is_current(descriptor):
                return descriptor
            os.close(descriptor)  # the holder before us removed the folder while we waited for it

    def _open(self) -> int:
        folder = self.path.parent
        while True:
            try:
                folder.mkdir(parents=True, exist_ok=True)
                return os.open(self.path, os.O_RDWR | os.O_CREAT, 0o666)
            except (FileNotFoundError, FileExistsError):
                # The holder before us removed the folder in this moment, before the open or amid the mkdir.
                if folder.exists() and not folder.is_dir():
                    raise

    def _is_current(self, descriptor: int) -> bool:
        try:
            return os.path.samestat(os.fstat(descriptor), self.path.stat())
        except FileNotFoundError:
            return False

    def _refusal(self, error: OSError, holder: str) -> CacheError:
        if error.errno in (errno.EWOULDBLOCK, errno.EACCES):
            return CacheError(
                f"{self.path.parent} is being written by {holder or 'another process'}.\n"
                "Wait until it has ended, or end it; then run the same command again."
            )
        return CacheError(
            f"{self.path.parent} must be on a file system with locks, but: {error.strerror}.\n"
            "Extract to a local folder and copy the finished shards."
        )
