"""Reader of delimited annotation files: a header line, then one row per line. Truncated files are refused."""

import csv
import io
from collections.abc import Iterator, Sequence
from pathlib import Path

from ..core.errors import DataError, did_you_mean
from ..core.files import read_text


def read_delimited(
    path: Path, *, delimiter: str, required: Sequence[str], quoted: bool = True
) -> list[dict[str, str]]:
    """Return the rows of a delimited file by column name, without blanks around the values.

    Args:
        path: a UTF-8 file with line ends of any kind.
        delimiter: one character.
        required: names of the required columns.
        quoted: whether ``"`` encloses fields. False: ``"`` is an ordinary character.

    Raises:
        DataError: the file is not readable or not UTF-8, a column is missing, a row has too few or too many
            fields, or a field that begins with ``"`` does not end with it.
    """
    quoting = csv.QUOTE_MINIMAL if quoted else csv.QUOTE_NONE
    # strict: otherwise a lone quotation mark silently swallows the following rows into one field.
    reader = csv.reader(
        io.StringIO(read_text(path), newline=""), delimiter=delimiter, quoting=quoting, strict=True
    )
    lines = _lines(reader, path)
    _, header = next(lines, (0, []))
    header = [name.strip() for name in header]  # some releases have blanks around the separators
    if not header:
        raise DataError(f"{path} must have a header line, but is empty.")
    check_columns(header, required, place=str(path))
    return [_row(header, fields, place=f"{path}, line {line}") for line, fields in lines]


def check_columns(found: Sequence[str], required: Sequence[str], *, place: str) -> None:
    """Check that a header has all required columns, and no column twice.

    Raises:
        DataError: a column is absent or occurs twice. The error names the columns and similar names found.
    """
    missing = [name for name in required if name not in found]
    if missing:
        hints = "".join(did_you_mean(name, list(found)) for name in missing)
        raise DataError(
            f"{place} must have the columns {', '.join(required)}, but lacks {', '.join(missing)}; "
            f"it has {', '.join(found)}.{hints}"
        )
    twice = sorted({name for name in found if found.count(name) > 1})
    if twice:
        raise DataError(f"{place} must name each column once, but names {', '.join(twice)} more often.")


def _lines(reader: "csv._reader", path: Path) -> Iterator[tuple[int, list[str]]]:  # type: ignore[name-defined]  # in the stubs only
    """Yield (line number, fields) of each line that is not empty."""
    try:
        for fields in reader:
            if fields:
                yield reader.line_num, fields
    except csv.Error as error:
        raise DataError(
            f"{path}, line {reader.line_num} must be a row of fields, quoted or not, but is not: {error}.\n"
            'Write a field that begins with a quotation mark as """so"" it goes".'
        ) from error


def _row(header: list[str], fields: list[str], *, place: str) -> dict[str, str]:
    # A row of another length is a cut file or a stray separator: every field would stand in a wrong column.
    if len(fields) != len(header):
        raise DataError(
            f"{place} must have {len(header)} fields, but has {len(fields)}.\n"
            "If the file is cut off there, fetch it again."
        )
    # Blanks around the separator would make ids and paths that no file has.
    return {name: field.strip() for name, field in zip(header, fields, strict=True)}
