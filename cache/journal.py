"""The journal of an unfinished shard: nothing that was written to it is lost when the process is killed.

``<shard>.partial/features.bin``   feature bytes of one video after another
``<shard>.partial/index.jsonl``    first the plan's digest and what the writer notes, then a line for each
                                   video, after its bytes
``<shard>.partial/lock``           held while a process writes

An HDF5 file cannot do this: killed between two of the library's writes, it is often unreadable as
a whole. On start, the journal is cut back to its last line whose bytes are all there and agree with
their checksum, so that not even a power cut needs a sync after each video.
"""

import json
import os
import zlib
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np

from ..core.files import sync_folder
from ..core.progress import say
from .format import FEATURE_DTYPE
from .lock import FolderLock
from .output import write_all


@dataclass(frozen=True, kw_only=True)
class JournalEntry:
    """A line of the journal: one video that is done."""

    id: str
    view: int
    start: int = 0
    """Where its bytes begin in ``features.bin``."""
    num_steps: int = 0
    """Its steps; 0 where it could not be read."""
    crc32: int = 0
    """zlib.crc32 over its bytes."""
    rejected: str | None = None
    """Why it could not be read, or None."""


class Journal:
    """The open, locked journal of one shard."""

    def __init__(
        self, folder: Path, *, plan: str, feature_size: int, note: Mapping[str, object] | None = None
    ) -> None:
        """Open a journal, or begin it anew where it belongs to another plan.

        Args:
            folder: ``<shard>.partial``; made if it is not there.
            plan: digest of all that decides the shard's bytes; a journal of another plan is emptied.
            feature_size: D.
            note: what the header line tells besides; of a journal that is gone on with, the old note stays.

        Raises:
            CacheError: another process has it open.
            OSError: the disk is full, or fails.
        """
        self.folder = folder
        self.entries: list[JournalEntry] = []
        self._header = {"plan": plan, **(note or {})}
        self._feature_size = feature_size
        with ExitStack() as opened:
            self._lock = FolderLock(folder)
            opened.callback(self._lock.release)
            self._features = opened.enter_context((folder / "features.bin").open("ab+", buffering=0))
            self._index = opened.enter_context((folder / "index.jsonl").open("ab+", buffering=0))
            self._recover()
            self._opened = opened.pop_all()

    def add(self, *, id: str, view: int, features: np.ndarray) -> None:
        """Write a video's features (T, D), then the line that makes them count.

        Raises:
            OSError: the disk is full, or fails; the journal is closed then.
        """
        data = features.astype(FEATURE_DTYPE, copy=False).tobytes()
        start = self._end
        with self._closed_on_error():
            write_all(self._features, data)
            self._write_line(
                JournalEntry(id=id, view=view, start=start, num_steps=len(features), crc32=zlib.crc32(data))
            )

    def reject(self, *, id: str, view: int, reason: str) -> None:
        """Write down that a video could not be read.

        Raises:
            OSError: as :meth:`add`.
        """
        with self._closed_on_error():
            self._write_line(JournalEntry(id=id, view=view, start=self._end, rejected=reason))

    def features(self) -> Iterator[np.ndarray]:
        """Yield the features (T, D) of each video that has some, in the order they were added."""
        self._features.seek(0)
        for entry in self.entries:
            if entry.rejected is None:
                data = self._features.read(self._num_bytes(entry))
                yield np.frombuffer(data, dtype=FEATURE_DTYPE).reshape(entry.num_steps, self._feature_size)

    def remove(self) -> None:
        """Delete the journal; its shard is finished."""
        _delete(self.folder, self._lock)
        self.close()

    def close(self) -> None:
        """Close the files and give back the lock; what was added stays."""
        self._opened.close()

    @property
    def _end(self) -> int:
        """Where the next video's bytes begin."""
        return self.entries[-1].start + self._num_bytes(self.entries[-1]) if self.entries else 0

    def _num_bytes(self, entry: JournalEntry) -> int:
        return entry.num_steps * self._feature_size * np.dtype(FEATURE_DTYPE).itemsize

    @contextmanager
    def _closed_on_error(self) -> Iterator[None]:
        """Let nothing be added behind half a video: only opening the journal anew cuts that off."""
        try:
            yield
        except BaseException:
            self.close()
            raise

    def _write_line(self, entry: JournalEntry) -> None:
        line = {key: value for key, value in asdict(entry).items() if value is not None}
        write_all(self._index, _line(line))
        self.entries.append(entry)

    def _recover(self) -> None:
        """Keep the whole lines whose bytes are there; cut off everything behind them."""
        self._index.seek(0)
        header, *lines = self._index.read().split(b"\n")[:-1] or [b""]  # a torn last line has no newline
        if _parse_header(header).get("plan") != self._header["plan"]:
            if header:
                say(f"{self.folder} was begun for other videos or another encoder, and is begun anew.")
            self._index.truncate(0)
            header, lines = _line(self._header)[:-1], []
            write_all(self._index, header + b"\n")
        kept = len(header) + 1
        self._features.seek(0)
        for line in lines:
            entry = self._parse(line)
            if entry is None:
                break
            self.entries.append(entry)
            kept += len(line) + 1
        self._index.truncate(kept)
        self._features.truncate(self._end)

    def _parse(self, line: bytes) -> JournalEntry | None:
        """Return the entry of a line if it and the next bytes of ``features.bin`` are sound."""
        try:
            entry = JournalEntry(**json.loads(line))
        except (ValueError, TypeError):
            return None
        size = self._num_bytes(entry)
        if entry.start != self._end or os.fstat(self._features.fileno()).st_size < entry.start + size:
            return None
        return entry if zlib.crc32(self._features.read(size)) == entry.crc32 else None


def read_header(folder: Path) -> dict[str, Any]:
    """Return a journal's header line: the plan's digest and what the writer noted; {} where there is none."""
    try:
        with (folder / "index.jsonl").open("rb") as file:
            return _parse_header(file.readline())
    except FileNotFoundError:
        return {}


def _parse_header(line: bytes) -> dict[str, Any]:
    try:
        content = json.loads(line)
    except ValueError:  # torn, or nothing yet
        return {}
    return content if isinstance(content, dict) else {}


def discard_journal(folder: Path) -> None:
    """Remove the journal that a process left when it was killed just after finishing its shard.

    Raises:
        CacheError: a process is at work in it.
    """
    if folder.is_dir():
        lock = FolderLock(folder)
        _delete(folder, lock)
        lock.release()


def count_videos(folder: Path) -> int:
    """Return how many videos a journal holds, those counted that could not be read; no lock is taken."""
    index = folder / "index.jsonl"
    return max(0, index.read_bytes().count(b"\n") - 1) if index.exists() else 0


def _delete(folder: Path, lock: FolderLock) -> None:
    # A power cut could undo the rename of the shard, and the journal would be needed again.
    sync_folder(folder.parent)
    for path in folder.iterdir():
        if path != lock.path:
            path.unlink()
    lock.path.unlink()
    with suppress(OSError):  # a process that waited for the lock has just made its own file here
        folder.rmdir()


def _line(content: dict[str, object]) -> bytes:
    return json.dumps(content, ensure_ascii=False).encode() + b"\n"
