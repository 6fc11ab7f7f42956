"""Reader of a user's own table: CSV, TSV or JSON Lines with id, split, video and text."""

import os
from pathlib import Path

from ..core.errors import DataError, did_you_mean
from ..core.sample import DEFAULT_TASK, SPLITS, TASKS, Split, Task
from .config import PrepareConfig
from .layout import place_in
from .release import Rejected, Release, Row, parse_times
from .table_files import Record, UnusableRow, read_records

_ALIASES: dict[str, Split] = {
    "train": "train", "dev": "dev", "val": "dev", "valid": "dev", "validation": "dev", "test": "test",
}  # fmt: skip


_TASKS: dict[str, Task] = {task: task for task in TASKS}


def read_release(source: Path, config: PrepareConfig) -> Release:
    """Read a table.

    Args:
        source: a ``.csv``, ``.tsv`` or ``.jsonl`` file. The first line of a CSV file shows the separator.
        config: ``columns``, ``root``, ``language``, ``fps`` and ``task``.

    Raises:
        DataError: the source is no such file, a column is missing, or the file cannot be read.
    """
    if not source.is_file():
        raise DataError(f"{source} must be a table (.csv, .tsv or .jsonl), but is no file.")
    records = read_records(source, config.columns)
    root = Path(os.path.abspath(config.root)) if config.root else source.parent
    # A wrong root would reject every row of the table, each for a missing video.
    if not root.is_dir():
        raise DataError(f"'root' must be the folder that video paths are relative to, but {root} is none.")
    rows = tuple(_row(record, root, config) for record in records)
    annotated: tuple[Split, ...] = tuple(split for split in SPLITS if any(row.split == split for row in rows))
    return Release(
        root=root,
        rows=rows,
        annotated=annotated,
        is_published=False,
        notes=tuple(_notes(records, annotated, config)),
    )


def _row(record: Record, root: Path, config: PrepareConfig) -> Row | Rejected:
    columns = config.columns
    name, split = record[columns.id], record[columns.split]
    if fault := _fault(record, config):
        reason, detail = fault
        return Rejected(id=name, split=_ALIASES.get(split, split), reason=reason, detail=detail)
    start, end = parse_times(record.get(columns.start, ""), record.get(columns.end, "")) or (None, None)
    return Row(
        id=name,
        split=_ALIASES[split],
        text=record[columns.text],
        references=_references(record, split=_ALIASES[split], names=columns.references),
        language=record.get(columns.language) or config.language,
        places=(place_in(video, root),) if (video := record.get(columns.video, "")) else (),
        poses=place_in(poses, root) if (poses := record.get(columns.poses, "")) else None,
        fps=_positive(record.get(columns.fps, "")) or config.fps,
        signer=record.get(columns.signer) or None,
        start_seconds=start,
        end_seconds=end,
        task=_TASKS.get(record.get(columns.task, ""), config.task or DEFAULT_TASK),
    )


def _references(record: Record, *, split: Split, names: tuple[str, ...]) -> tuple[str, ...]:
    """Return the further sentences of a row of dev or test. Empty fields hold none."""
    # A training clip has one target.
    return () if split == "train" else tuple(filter(None, (record.get(name, "") for name in names)))


def _fault(record: Record, config: PrepareConfig) -> tuple[str, str] | None:
    """Return (reason, details) if a row cannot be used, else None."""
    columns, split = config.columns, record[config.columns.split]
    start, end, fps = (record.get(name, "") for name in (columns.start, columns.end, columns.fps))
    if isinstance(record, UnusableRow):
        return "neither text nor a number", record.fault
    if split not in _ALIASES:
        hint = did_you_mean(split, list(_ALIASES))
        return "unknown split", f"{split!r} is none of {', '.join(_ALIASES)}.{hint}"
    task = record.get(columns.task, "")
    if task and task not in _TASKS:
        return "unknown task", f"{task!r} is none of {', '.join(TASKS)}.{did_you_mean(task, list(TASKS))}"
    if parse_times(start, end) is None:
        return "wrong times", f"{columns.start} {start!r}, {columns.end} {end!r}: give seconds such as 12.5"
    if fps and _positive(fps) is None:
        return "wrong frame rate", f"{columns.fps} {fps!r}: give a number above 0 such as 25 or 29.97"
    return None


def _positive(number: str) -> float | None:
    """Return the text as a finite number above 0, or None."""
    try:
        value = float(number)
    except ValueError:
        return None
    return value if 0 < value < float("inf") else None


def _notes(records: list[Record], annotated: tuple[Split, ...], config: PrepareConfig) -> list[str]:
    found = {key for record in records for key in record}
    unused = sorted(found - config.columns.names)
    notes = [f"{split}: no row in the table" for split in SPLITS if split not in annotated]
    if config.columns.language not in found:
        notes.append(f"no column {config.columns.language!r}: all sentences taken as {config.language!r}")
    if config.columns.references:
        notes.append(f"further references, in dev and test alone: {', '.join(config.columns.references)}")
    if unused:
        notes.append(f"columns not used: {', '.join(unused)}")
    return notes
