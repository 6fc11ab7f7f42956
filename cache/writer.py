"""Writer of a shard. A kill at any moment loses no finished video and changes no byte of the shard."""

import hashlib
import json
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import asdict
from errno import EDQUOT, ENOSPC
from pathlib import Path
from types import TracebackType

import numpy as np

from ..core.errors import CacheError
from ..core.sample import DEFAULT_TASK, TASKS
from .checksum_header import write_checksum_header
from .format import CacheRow, Provenance, partial_folder, shard_name
from .journal import Journal, JournalEntry
from .shard import REFERENCES, TEXT_COLUMNS, write_shard


class ShardWriter:
    """Writer that collects features in a journal, in planned order, then writes the shard in one pass.

    ::

        with ShardWriter(folder, split="dev", index=0, count=1, rows=rows, provenance=made_by) as writer:
            for row in writer.pending:
                writer.append(row, features_of(row))
            writer.finish()
    """

    def __init__(
        self,
        folder: Path,
        *,
        split: str,
        index: int,
        count: int,
        rows: Sequence[CacheRow],
        provenance: Provenance,
        note: Mapping[str, object] | None = None,
    ) -> None:
        """Begin a shard, or continue a journal of the same plan.

        Args:
            folder: the cache, created if missing.
            split: the split of all rows.
            index: number of the shard in the split, from 0.
            count: number of shards in the split.
            rows: all planned rows, in order.
            provenance: origin of the features.
            note: further entries of the journal's header line, for a process that continues the journal.

        Raises:
            CacheError: an (id, view) is there twice, a text cannot be stored, the shard exists already,
                another process is writing the shard, or the disk is full.
        """
        # Before the journal is opened: a refused plan leaves nothing on disk.
        _check_rows(rows)
        self.path = folder / shard_name(split, index, count)
        self._rows = tuple(rows)
        self._provenance = provenance
        plan = _digest(rows, provenance)
        with name_full_disk(self.path):
            self._journal = Journal(
                partial_folder(self.path), plan=plan, feature_size=provenance.feature_size, note=note
            )
        # The journal is opened first, because its lock keeps another process from finishing the shard
        # meanwhile.
        if self.path.exists():
            self._journal.remove()
            raise CacheError(
                f"{self.path} is finished, and shards are never changed.\nDelete it to write it again."
            )

    @property
    def num_rows(self) -> int:
        """Number of planned rows."""
        return len(self._rows)

    @property
    def num_written(self) -> int:
        """Number of written or rejected rows."""
        return len(self._journal.entries)

    @property
    def pending(self) -> tuple[CacheRow, ...]:
        """Pending rows, in order."""
        return self._rows[self.num_written :]

    @property
    def next_row(self) -> CacheRow | None:
        """Next row to write, or None after the last row."""
        return self._rows[self.num_written] if self.num_written < self.num_rows else None

    @property
    def steps_written(self) -> int:
        """Steps of all written videos, videos of earlier processes included."""
        return sum(entry.num_steps for entry in self._journal.entries)

    @property
    def rejected(self) -> list[JournalEntry]:
        """Entries of the videos that could not be read, with the reasons."""
        return [entry for entry in self._journal.entries if entry.rejected is not None]

    def append(self, row: CacheRow, features: np.ndarray) -> None:
        """Add the features (T, D) float16, T >= 1, of the next pending row. A later kill does not lose them.

        Raises:
            ValueError: ``row`` is not the next row, or the array has another shape or type.
            CacheError: the disk is full.
        """
        self._check_next(row)
        width = self._provenance.feature_size
        if (
            features.ndim != 2
            or features.shape[1] != width
            or not len(features)
            or features.dtype != np.float16
        ):
            raise ValueError(
                f"features of {row.id!r} must be (T >= 1, {width}) float16, "
                f"but are {features.shape} {features.dtype}"
            )
        with name_full_disk(self.path):
            self._journal.add(id=row.id, view=row.view, features=features)

    def reject(self, row: CacheRow, reason: str) -> None:
        """Leave out the next pending row, whose video cannot be read.

        Raises:
            ValueError: ``row`` is not the next row.
            CacheError: the disk is full.
        """
        self._check_next(row)
        with name_full_disk(self.path):
            self._journal.reject(id=row.id, view=row.view, reason=reason)

    def finish(self) -> Path:
        """Write the shard, sync and rename the file, remove the journal, and return the path of the shard.

        Raises:
            ValueError: rows are still pending.
            CacheError: the disk is full.
        """
        if self.pending:
            raise ValueError(f"{len(self.pending)} of {self.num_rows} rows are still pending")
        # In the journal's folder: the next start deletes it with the journal, and it is on the same disk for
        # the rename.
        temporary = self._journal.folder / "shard.tmp"
        done = list(zip(self._rows, self._journal.entries, strict=True))
        with name_full_disk(self.path):
            write_shard(
                temporary,
                rows=[row for row, entry in done if entry.rejected is None],
                features=self._journal.features(),
                crc32=[entry.crc32 for entry in self._journal.entries if entry.rejected is None],
                rejected=[(entry.id, entry.view) for entry in self.rejected],
                provenance=self._provenance,
            )
            # Syncs the file, so that the rename never gives the final name to missing bytes.
            write_checksum_header(temporary)
            temporary.replace(self.path)
            self._journal.remove()
        return self.path

    def __enter__(self) -> "ShardWriter":
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        with name_full_disk(self.path):  # some file systems tell only now
            self._journal.close()

    def _check_next(self, row: CacheRow) -> None:
        if row != self.next_row:
            expected = repr(self.next_row.id) if self.next_row else "none"
            raise ValueError(f"rows come in the order planned: the next is {expected}, not {row.id!r}")


def _check_rows(rows: Sequence[CacheRow]) -> None:
    seen: set[tuple[str, int]] = set()
    for row in rows:
        if (row.id, row.view) in seen:
            raise CacheError(
                f"An id must be unique in a split, but {row.id!r} (view {row.view}) is there twice."
            )
        seen.add((row.id, row.view))
        if row.task not in TASKS:
            raise CacheError(
                f"The task of {row.id!r} must be one of {', '.join(TASKS)}, but is {row.task!r}."
            )
        texts = {name: (getattr(row, name),) for name in TEXT_COLUMNS} | {REFERENCES: row.references}
        for name, values in texts.items():
            for value in values:
                if "\0" in value or not _is_utf8(value):
                    raise CacheError(
                        f"The {name} of {row.id!r} must be UTF-8 text without NUL, but is {value!r}."
                    )


def _is_utf8(text: str) -> bool:
    try:
        text.encode()
    except UnicodeEncodeError:  # a lone surrogate
        return False
    return True


def _digest(rows: Sequence[CacheRow], provenance: Provenance) -> str:
    """Return the SHA-256 of everything that decides the bytes of a shard, except the videos."""
    # Sorted keys: the digest must not depend on the order of dicts.
    plan = json.dumps([asdict(provenance), [_planned(row) for row in rows]], sort_keys=True)
    return hashlib.sha256(plan.encode()).hexdigest()


def _planned(row: CacheRow) -> dict[str, object]:
    # Journals from before there were tasks and references can be continued.
    defaults = (("task", DEFAULT_TASK), ("references", ()))
    return {key: value for key, value in asdict(row).items() if (key, value) not in defaults}


@contextmanager
def name_full_disk(path: Path) -> Iterator[None]:
    """Name the file that cannot be finished where the disk or a quota is full.

    Raises:
        CacheError: the disk or the quota is full.
    """
    try:
        yield
    except OSError as error:
        # A full quota is a full disk for the user.
        if error.errno not in (ENOSPC, EDQUOT):
            raise
        raise CacheError(
            f"The disk is full: {path} cannot be finished.\n"
            "Free some space and run the same command again; what is done is kept."
        ) from error
