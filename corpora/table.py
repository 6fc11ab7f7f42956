"""A table of your own: CSV, TSV or JSON Lines with id, split, video and text."""

import os
from pathlib import Path
from typing import Any

from ..core.errors import DataError, did_you_mean
from ..core.files import read_jsonl, read_text
from ..core.sample import SPLITS, Split
from .config import Columns, PrepareConfig
from .delimited import check_columns, read_delimited
from .release import Rejected, Release, Row, parse_times

_ALIASES: dict[str, Split] = {
    "train": "train", "dev": "dev", "val": "dev", "valid": "dev", "validation": "dev", "test": "test",
}  # fmt: skip
_REQUIRED = ("id", "split", "video", "text")


def read_release(source: Path, config: PrepareConfig) -> Release:
    """Read a table.

    Args:
        source: a ``.csv``, ``.tsv`` or ``.jsonl`` file; a CSV's separator is found in its first line.
        config: ``columns``, ``root``, ``language`` and ``fps``.

    Raises:
        DataError: not such a file, a column missing, or a row that cannot be read.
    """
    if not source.is_file():
        raise DataError(f"{source} must be a table (.csv, .tsv or .jsonl), but is no file.")
    columns = config.columns
    records = _read_jsonl(source, columns) if source.suffix == ".jsonl" else _read_delimited(source, columns)
    if not records:
        raise DataError(f"{source} must hold rows, but has none.")
    root = Path(os.path.abspath(config.root)) if config.root else source.parent
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


def _read_delimited(path: Path, columns: Columns) -> list[dict[str, str]]:
    header = read_text(path).split("\n", 1)[0]
    separator = "\t" if path.suffix == ".tsv" else max(",\t;|", key=header.count)
    records = read_delimited(path, delimiter=separator, required=_required(columns))
    _check_optional(list(records[0]) if records else [], columns, place=str(path))
    return records


def _read_jsonl(path: Path, columns: Columns) -> list[dict[str, str]]:
    records: list[dict[str, str]] = []
    for number, row in enumerate(read_jsonl(path), 1):
        place = f"{path}, row {number}"
        check_columns(list(row), _required(columns), place=place)
        records.append({key: _text(value, f"{place}: '{key}'") for key, value in row.items()})
    _check_optional(sorted({key for record in records for key in record}), columns, place=str(path))
    return records


def _required(columns: Columns) -> list[str]:
    return [getattr(columns, name) for name in _REQUIRED]


def _check_optional(found: list[str], columns: Columns, *, place: str) -> None:
    """Refuse a column that the settings name and the table lacks; a default name may be absent."""
    named = [
        getattr(columns, name)
        for name, default in vars(Columns()).items()
        if getattr(columns, name) != default
    ]
    if found:
        check_columns(found, named, place=place)


def _text(value: Any, place: str) -> str:
    if value is None:
        return ""
    if isinstance(value, (str, int, float)) and not isinstance(value, bool):
        return str(value).strip()
    raise DataError(f"{place} must be text or a number, but is {value!r}.")


def _row(record: dict[str, str], root: Path, config: PrepareConfig) -> Row | Rejected:
    columns = config.columns
    name, split = record[columns.id], record[columns.split]
    if split not in _ALIASES:
        detail = f"{split!r} is none of {', '.join(_ALIASES)}.{did_you_mean(split, list(_ALIASES))}"
        return Rejected(id=name, split=split, reason="unknown split", detail=detail)
    start, end = record.get(columns.start, ""), record.get(columns.end, "")
    times = parse_times(start, end)
    fps = _positive(record.get(columns.fps, "")) or config.fps
    if times is None:
        detail = f"{columns.start} {start!r}, {columns.end} {end!r}"
        return Rejected(id=name, split=_ALIASES[split], reason="wrong times", detail=detail)
    return Row(
        id=name,
        split=_ALIASES[split],
        text=record[columns.text],
        language=record.get(columns.language) or config.language,
        places=(_relative(record[columns.video], root),) if record[columns.video] else (),
        fps=fps,
        signer=record.get(columns.signer) or None,
        start_seconds=times[0],
        end_seconds=times[1],
    )


def _positive(number: str) -> float | None:
    """Return a number above 0, or None where ``number`` is none: then the video must say it."""
    try:
        value = float(number)
    except ValueError:
        return None
    return value if 0 < value < float("inf") else None


def _relative(video: str, root: Path) -> str:
    """Return an absolute path inside ``root`` relative to it; any other path as it is."""
    path = Path(os.path.normpath(video)) if os.path.isabs(video) else None
    return path.relative_to(root).as_posix() if path is not None and path.is_relative_to(root) else video


def _notes(records: list[dict[str, str]], annotated: tuple[Split, ...], config: PrepareConfig) -> list[str]:
    found = {key for record in records for key in record}
    unused = sorted(found - set(vars(config.columns).values()))
    notes = [f"{split}: no row in the table" for split in SPLITS if split not in annotated]
    if config.columns.language not in found:
        notes.append(f"no column {config.columns.language!r}: all sentences taken as {config.language!r}")
    if unused:
        notes.append(f"columns not used: {', '.join(unused)}")
    return notes
