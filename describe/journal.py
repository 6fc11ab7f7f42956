"""Journal of an unfinished description file. A killed process loses at most the batch in progress.

``<file>.partial/lines.jsonl``   first the header of the file and a note, then the lines of the file
``<file>.partial/lock``          held while a process writes

Batches go over the ends of clips. A run that goes on begins at a batch, so that every frame has the
neighbours that it has in a run without a stop: the text of a frame may depend on the batch in its last bits.
"""

import json
from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import Any

from ..cache.journal import delete_journal
from ..cache.lock import FolderLock
from ..cache.output import write_all
from ..core.config import first_difference
from ..core.errors import CacheError

LINES = "lines.jsonl"


class DescriptionJournal:
    """Open, locked journal of a description file."""

    def __init__(
        self, folder: Path, *, header: Mapping[str, Any], batch: int, note: Mapping[str, Any]
    ) -> None:
        """Open a journal, and cut off what is no whole batch.

        Args:
            folder: ``<file>.partial``, created if missing.
            header: everything that decides the bytes of the file.
            batch: frames described at a time.
            note: further entries of the first line. A continued journal keeps its old note.

        Raises:
            CacheError: another process has the journal open, or the journal was begun in another way.
            OSError: the disk is full or fails.
        """
        self.folder = folder
        self.entries: list[dict[str, Any]] = []
        # On an error in _recover, the file and the lock are released here: no caller has the journal yet.
        with ExitStack() as opened:
            self._lock = FolderLock(folder)
            opened.callback(self._lock.release)
            self._file = opened.enter_context((folder / LINES).open("ab+", buffering=0))
            self._recover(dict(header), batch, dict(note))
            self._opened = opened.pop_all()

    def add(self, entries: Sequence[Mapping[str, Any]]) -> None:
        """Write the lines of a batch. A later kill does not lose these lines.

        Raises:
            OSError: the disk is full or fails. The journal is then closed.
        """
        try:
            write_all(self._file, b"".join(_line(entry) for entry in entries))
        # KeyboardInterrupt too: only opening the journal again cuts off half a batch.
        except BaseException:
            self.close()
            raise
        self.entries += map(dict, entries)

    def remove(self) -> None:
        """Delete the journal of a finished file."""
        delete_journal(self.folder, self._lock)
        self.close()

    def close(self) -> None:
        """Close the file and release the lock. The content stays on disk."""
        self._opened.close()

    def _recover(self, header: dict[str, Any], batch: int, note: dict[str, Any]) -> None:
        self._file.seek(0)
        first, *lines = self._file.read().split(b"\n")[:-1] or [b""]  # a torn last line has no newline
        begun = _parse(first)
        if begun is None:
            first, lines = _line({"header": header, "note": note})[:-1], []
            self._file.truncate(0)
            write_all(self._file, first + b"\n")
        elif difference := first_difference(begun["header"], json.loads(json.dumps(header))):
            # A journal may hold days of work: it is never emptied without a word.
            key, there, now = difference
            raise CacheError(
                f"{self.folder} was begun in another way: {key} is {there!r} there and would be {now!r} "
                "now.\n"
                "Go on with the old settings, write to another folder, or delete this one to start again."
            )
        self.entries, kept = _whole_batches(lines, batch)
        self._file.truncate(len(first) + 1 + sum(len(line) + 1 for line in lines[:kept]))


def read_note(folder: Path) -> dict[str, Any]:
    """Return the note of a journal, empty without a journal."""
    try:
        with (folder / LINES).open("rb") as file:
            begun = _parse(file.readline())
    except FileNotFoundError:
        return {}
    return {} if begun is None else begun["note"]


def count_described(folder: Path) -> int:
    """Return the number of described frames in a journal, without taking the lock."""
    path = folder / LINES
    if not path.exists():
        return 0
    # The first line is the header, and a torn last line is no JSON.
    entries = [_parse(line) for line in path.read_bytes().split(b"\n")[1:]]
    return sum(entry is not None and "text" in entry for entry in entries)


def _whole_batches(lines: Sequence[bytes], batch: int) -> tuple[list[dict[str, Any]], int]:
    """Return the entries of the whole batches at the beginning, and the number of their lines."""
    entries, kept, frames = list[dict[str, Any]](), 0, 0
    for line in lines:
        entry = _parse(line)
        if entry is None:  # after a power cut
            break
        entries.append(entry)
        frames += "text" in entry
        # Rejected clips count with the batch before them.
        kept = len(entries) if frames % batch == 0 else kept
    return entries[:kept], kept


def _parse(line: bytes) -> dict[str, Any] | None:
    try:
        content = json.loads(line)
    except ValueError:
        return None
    return content if isinstance(content, dict) else None


def _line(content: Mapping[str, Any]) -> bytes:
    return json.dumps(content, ensure_ascii=False).encode("utf-8", "backslashreplace") + b"\n"
