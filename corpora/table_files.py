"""Reader of CSV, TSV and JSON Lines tables."""

import math
from pathlib import Path
from typing import Any

from ..core.errors import DataError
from ..core.files import read_jsonl, read_text
from .config import Columns
from .delimited import check_columns, read_delimited

Record = dict[str, str]
_REQUIRED = ("id", "split", "video", "text")


class UnusableRow(dict[str, str]):
    """A row with a value that is neither text nor a number. ``fault`` names the value."""

    fault = ""


def read_records(path: Path, columns: Columns) -> list[Record]:
    """Return the rows of a table as text by column name, some as :class:`UnusableRow`.

    Raises:
        DataError: the file cannot be read, has another format, or lacks a column.
    """
    records = _read_jsonl(path, columns) if path.suffix == ".jsonl" else _read_delimited(path, columns)
    if not records:
        raise DataError(f"{path} must hold rows, but has none.")
    _check_optional(sorted({key for record in records for key in record}), columns, place=str(path))
    return records


def _read_delimited(path: Path, columns: Columns) -> list[Record]:
    header = read_text(path).split("\n", 1)[0]
    # Spreadsheets write ; in many languages: the header shows the separator.
    separator = "\t" if path.suffix == ".tsv" else max(",\t;|", key=header.count)
    names = [name.strip().strip('"') for name in header.split(separator)]
    return read_delimited(path, delimiter=separator, required=_required(columns, names))


def _read_jsonl(path: Path, columns: Columns) -> list[Record]:
    used = columns.names
    records: list[Record] = []
    for number, row in enumerate(read_jsonl(path), 1):
        place = f"{path}, row {number}"
        check_columns(list(row), _required(columns, list(row)), place=place)
        # A column of no use here may hold lists or objects.
        values = {key: value if key in used else "" for key, value in row.items()}
        records.append(_record(values, place=place))
    return records


def _record(values: dict[str, Any], *, place: str) -> Record:
    """Return the values of a row as text. None becomes an empty text, like an empty field of a CSV file."""
    absent = [key for key, value in values.items() if isinstance(value, float) and not math.isfinite(value)]
    texts = {
        key: "" if value is None or key in absent else _text(value, f"{place}: '{key}'")
        for key, value in values.items()
    }
    if not absent:
        return texts
    record = UnusableRow(texts)
    record.fault = f"{place}: '{absent[0]}' is {values[absent[0]]}; write null where there is no value"
    return record


def _text(value: Any, place: str) -> str:
    if isinstance(value, (str, int, float)) and not isinstance(value, bool):
        return str(value).strip()
    raise DataError(f"{place} must be text or a number, but is {value!r}.")


def _required(columns: Columns, found: list[str]) -> list[str]:
    """Return the required columns. A table with a column of poses needs no column of videos."""
    return [getattr(columns, name) for name in _REQUIRED if name != "video" or columns.poses not in found]


def _check_optional(found: list[str], columns: Columns, *, place: str) -> None:
    """Refuse a table without a column named in the settings. Columns with default names may be absent."""
    check_columns(found, sorted(columns.names - Columns().names), place=place)
