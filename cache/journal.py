"""Journal of an unfinished shard. A killed process loses nothing that was written to the journal.

``<shard>.partial/features.bin``   feature bytes of one video after another
``<shard>.partial/index.jsonl``    first the digest of the plan and the note of the writer, then a line for
                                   each video, written after the bytes of the video
``<shard>.partial/lock``           held while a process writes

HDF5 files give no such guarantee: a kill between two writes of the library often leaves the whole file
unreadable. On start, the journal is cut back to the last line with complete bytes and a correct checksum.
A power cut therefore needs no sync after each video.
"""

import json
import logging
import os
import zlib
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np

from ..core.files import sync_folder
from .format import FEATURE_DTYPE
from .lock import FolderLock
from .output import write_all

logger = logging.getLogger(__name__)


@dataclass(frozen=True, kw_only=True)
class JournalEntry:
    """Line of the journal: a finished video."""

    id: str
    view: int
    start: int = 0
    """Start of the video's bytes in ``features.bin``."""
    num_steps: int = 0
    """Steps of the video, 0 for a rejected video."""
    crc32: int = 0
    """zlib.crc32 of the video's bytes."""
    rejected: str | None = None
    """Reason why the video could not be read, or None."""


class Journal:
    """Open, locked journal of a shard."""

    def __init__(
        self, folder: Path, *, plan: str, feature_size: int, note: Mapping[str, object] | None = None
    ) -> None:
        """Open a journal. A journal of another plan is emptied.

        Args:
            folder: ``<shard>.partial``, created if missing.
            plan: digest of everything that decides the bytes of the shard.
            feature_size: D.
            note: further entries of the header line. A continued journal keeps its old note.

        Raises:
            CacheError: another process has the journal open.
            OSError: the disk is full or fails.
        """
        self.folder = folder
        self.entries: list[JournalEntry] = []
        self._header = {"plan": plan, **(note or {})}
        self._feature_size = feature_size
        # On an error in _recover, the files and the lock must be released here: no caller has the journal
        # yet.
        with ExitStack() as opened:
            self._lock = FolderLock(folder)
            opened.callback(self._lock.release)
            self._features = opened.enter_context((folder / "features.bin").open("ab+", buffering=0))
            self._index = opened.enter_context((folder / "index.jsonl").open("ab+", buffering=0))
            self._recover()
            self._opened = opened.pop_all()

    def add(self, *, id: str, view: int, features: np.ndarray) -> None:
        """Write the features (T, D) of a video, then the line that makes them valid.

        Raises:
            OSError: the disk is full or fails. The journal is then closed.
        """
        data = features.astype(FEATURE_DTYPE, copy=False).tobytes()
        start = self._end
        with self._closed_on_error():
            # The order matters: a line counts only when the bytes before it are complete.
            write_all(self._features, data)
            self._write_line(
                JournalEntry(id=id, view=view, start=start, num_steps=len(features), crc32=zlib.crc32(data))
            )

    def reject(self, *, id: str, view: int, reason: str) -> None:
        """Record an unreadable video.

        Raises:
            OSError: the disk is full or fails. The journal is then closed.
        """
        with self._closed_on_error():
            self._write_line(JournalEntry(id=id, view=view, start=self._end, rejected=reason))

    def features(self) -> Iterator[np.ndarray]:
        """Yield the features (T, D) of each video that was not rejected, in the order of writing."""
        self._features.seek(0)
        for entry in self.entries:
            if entry.rejected is None:
                data = self._features.read(self._num_bytes(entry))
                yield np.frombuffer(data, dtype=FEATURE_DTYPE).reshape(entry.num_steps, self._feature_size)

    def remove(self) -> None:
        """Delete the journal of a finished shard."""
        delete_journal(self.folder, self._lock)
        self.close()

    def close(self) -> None:
        """Close the files and release the lock. The content stays on disk."""
        self._opened.close()

    @property
    def _end(self) -> int:
        """End of the valid bytes in ``features.bin``."""
        return self.entries[-1].start + self._num_bytes(self.entries[-1]) if self.entries else 0

    def _num_bytes(self, entry: JournalEntry) -> int:
        return entry.num_steps * self._feature_size * np.dtype(FEATURE_DTYPE).itemsize

    @contextmanager
    def _closed_on_error(self) -> Iterator[None]:
        """Close the journal on any error. Only opening it again cuts off half a video."""
        try:
            yield
        # KeyboardInterrupt too: a signal can arrive in the middle of a write.
        except BaseException:
            self.close()
            raise

    def _write_line(self, entry: JournalEntry) -> None:
        line = {key: value for key, value in asdict(entry).items() if value is not None}
        write_all(self._index, _line(line))
        self.entries.append(entry)

    def _recover(self) -> None:
        """Keep the complete lines whose bytes are present, and cut off the rest."""
        self._index.seek(0)
        header, *lines = self._index.read().split(b"\n")[:-1] or [b""]  # a torn last line has no newline
        if _parse_header(header).get("plan") != self._header["plan"]:
            if header:
                logger.warning(
                    f"{self.folder} was begun for other videos or another encoder, "
                    "and starts again from the first video."
                )
            # The old note goes with the old plan, which nobody can continue.
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
        # Bytes behind the last valid line would be taken for the next video.
        self._index.truncate(kept)
        self._features.truncate(self._end)

    def _parse(self, line: bytes) -> JournalEntry | None:
        """Return the entry of a line, or None if the line or its bytes in ``features.bin`` are damaged."""
        try:
            entry = JournalEntry(**json.loads(line))
        except (ValueError, TypeError):
            return None
        size = self._num_bytes(entry)
        # The size is checked before the read: a damaged line may declare any length.
        if entry.start != self._end or os.fstat(self._features.fileno()).st_size < entry.start + size:
            return None
        return entry if zlib.crc32(self._features.read(size)) == entry.crc32 else None


def read_header(folder: Path) -> dict[str, Any]:
    """Return the header line of a journal (digest of the plan, note of the writer), {} without a journal."""
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
    """Remove the journal of a process that was killed just after finishing its shard.

    Raises:
        CacheError: a process is writing to the journal.
    """
    if folder.is_dir():
        lock = FolderLock(folder)
        delete_journal(folder, lock)
        lock.release()


def count_videos(folder: Path) -> int:
    """Return the number of videos in a journal, rejected ones included, without taking the lock."""
    index = folder / "index.jsonl"
    # The first line is the header. A torn last line has no newline and does not count.
    return max(0, index.read_bytes().count(b"\n") - 1) if index.exists() else 0


def delete_journal(folder: Path, lock: FolderLock) -> None:
    """Delete the folder of a journal whose shard is finished, under the lock of the folder."""
    # A power cut could undo the rename of the shard, and the journal would be needed again.
    sync_folder(folder.parent)
    for path in folder.iterdir():
        # The lock file goes last: until then no other process can begin.
        if path != lock.path:
            path.unlink()
    lock.path.unlink()
    with suppress(OSError):  # a process that waited for the lock has just made its own file here
        folder.rmdir()


def _line(content: dict[str, object]) -> bytes:
    return json.dumps(content, ensure_ascii=False).encode() + b"\n"
