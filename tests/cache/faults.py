"""Faults of files, for tests: a SIGKILL before an operation or half-way through it, or a full disk."""

import errno
import io
import os
import signal
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Literal
from unittest.mock import patch

Strike = Literal["kill", "full", "short"]
_CALLS = ("fsync", "replace", "rename", "unlink", "mkdir", "rmdir", "ftruncate")
_FULL_FOREVER = {"write", "open", "mkdir"}
"""What a full disk refuses; the others fail once, where they are struck."""


class Faults:
    """Counts the operations on files below a folder, and strikes at number ``at``."""

    def __init__(self, folder: Path, *, at: int = -1, strike: Strike = "kill", half: bool = False) -> None:
        self.operations: list[str] = []
        self.unsynced: list[str] = []
        """What a power cut could lose, since no sync came before a rename or before a deletion."""
        self._unsynced_files: set[int] = set()  # inodes of files
        self._synced_folders: set[int] = set()  # inodes of folders whose names are all on the disk
        self._folder = str(folder)
        self.at = at
        self._strike: Strike = strike
        self._half = half
        self._is_full = False

    @contextmanager
    def injected(self) -> Iterator["Faults"]:
        """Let every file that is opened, and every call of ``os`` that changes files, come by here."""
        calls = {name: self._watched(name, getattr(os, name)) for name in _CALLS}
        calls |= {"write": self._write_descriptor, "open": self._open_descriptor}
        with patch.multiple(os, **calls), patch.object(io, "open", self._open):
            yield self

    def write(self, file: Any, data: Any) -> int:
        """Write through ``file``; half of it where the strike comes half-way."""
        if self._strike == "short":
            return file.write(data[: max(1, len(data) // 2)])
        if self._is_next() and self._half:
            if self._strike == "full":  # a disk that fills up takes a part, and refuses the next write
                self._is_full = True
                self.operations.append("write")
                return file.write(data[: max(1, len(data) // 2)])
            file.write(data[: len(data) // 2])
        return self.do("write", lambda: file.write(data))

    def do(self, name: str, act: Callable[[], Any]) -> Any:
        if self._is_next():
            if self._strike == "kill":
                os.kill(os.getpid(), signal.SIGKILL)
            self._is_full = True
        is_struck = self._is_next() or (self._is_full and name in _FULL_FOREVER)
        self.operations.append(name)
        if is_struck:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        return act()

    def _is_next(self) -> bool:
        return len(self.operations) == self.at

    def _watched(self, name: str, call: Callable[..., Any]) -> Callable[..., Any]:
        def watched(*args: Any, **options: Any) -> Any:
            self._before(name, args)
            return self.do(name, lambda: call(*args, **options))

        return watched

    def _before(self, name: str, args: tuple[Any, ...]) -> None:
        """Hold that a file's bytes are synced before its rename, and a rename before its journal goes."""
        if name == "fsync":
            inode = os.fstat(args[0]).st_ino
            self._unsynced_files.discard(inode)
            self._synced_folders.add(inode)
        elif name == "replace":
            if os.stat(args[0]).st_ino in self._unsynced_files:
                self.unsynced.append(f"{args[0]}: renamed before its bytes were synced")
            self._synced_folders.discard(Path(args[1]).parent.stat().st_ino)
        elif name == "unlink" and Path(args[0]).parents[1].stat().st_ino not in self._synced_folders:
            self.unsynced.append(f"{args[0]}: deleted before the name of the shard was synced")

    def _write_descriptor(self, number: int, data: bytes) -> int:
        self.note_write(number)
        return self.write(_Descriptor(number), data)

    def note_write(self, number: int) -> None:
        self._unsynced_files.add(os.fstat(number).st_ino)

    def _open_descriptor(self, path: Any, flags: int, *args: Any) -> int:
        if not flags & os.O_CREAT:
            return _open_descriptor(path, flags, *args)
        return self.do("open", lambda: _open_descriptor(path, flags, *args))

    def _open(self, path: Any, mode: str = "r", buffering: int = -1, *args: Any, **options: Any) -> Any:
        if not str(path).startswith(self._folder) or set(mode) <= set("rbt"):
            return _open(path, mode, buffering, *args, **options)
        raw = self.do("open", lambda: _Watched(path, mode.replace("b", ""), faults=self))
        return io.BufferedRandom(raw) if buffering else raw


class _Watched(io.FileIO):
    def __init__(self, path: Any, mode: str, *, faults: Faults) -> None:
        super().__init__(path, mode)
        self._faults = faults

    def write(self, data: Any) -> int:
        self._faults.note_write(self.fileno())
        return self._faults.write(_Descriptor(self.fileno()), data)

    def truncate(self, size: int | None = None) -> int:
        return self._faults.do("truncate", lambda: super(_Watched, self).truncate(size))


class _Descriptor:
    def __init__(self, number: int) -> None:
        self._number = number

    def write(self, data: Any) -> int:
        return _write(self._number, data)


_open, _open_descriptor, _write = io.open, os.open, os.write
