"""Comparison of a finished shard with the shard that would be written now."""

from collections.abc import Sequence
from pathlib import Path

from ..core.errors import CacheError
from .format import CacheRow, Provenance, partial_folder, provenance_difference
from .journal import discard_journal
from .shard import ShardIndex, read_index


def read_finished(path: Path, *, rows: Sequence[CacheRow], provenance: Provenance) -> ShardIndex | None:
    """Return the index of a finished shard, or None if the shard does not exist.

    The journal of a process that was killed just after the shard was finished is removed.

    Raises:
        CacheError: the finished shard has another origin or other videos. The message names the difference.
    """
    if not path.exists():
        return None
    index = read_index(path)
    if difference := _difference(index, rows, provenance):
        raise CacheError(
            f"{path} is finished, but not the same: {difference}.\n"
            "Write to another folder, or delete the shard to write it again."
        )
    # A kill between the rename and the deletion leaves both.
    discard_journal(partial_folder(path))
    return index


def _difference(index: ShardIndex, rows: Sequence[CacheRow], provenance: Provenance) -> str | None:
    """Return the first thing in which a shard differs from a plan, in words, or None."""
    if difference := provenance_difference(index.provenance, provenance):
        key, there, wanted = difference
        return f"{key} is {there!r} there and would be {wanted!r} now"
    # Rejected rows are planned but not in the shard.
    left_out = set(index.rejected)
    expected = [row for row in rows if (row.id, row.view) not in left_out]
    for old, new in zip(index.rows, expected, strict=False):
        for key, value in vars(new).items():
            if getattr(old, key) != value:
                return f"{key} of {old.id!r} is {getattr(old, key)!r} there, {value!r} now"
    # zip stops at the shorter side, so extra rows show in the count alone.
    count = len(index.rows) + len(index.rejected)
    return None if count == len(rows) else f"it covers {count} videos and would cover {len(rows)} now"
