"""Files of sentences: plain lines, tables with a header, JSON Lines.

All files become columns. A file of plain lines is a table with the column ``text``. A predictions file has
``id``, ``prediction``, ``reference``, ``language`` and, if a clip is no translation, ``task``.
"""

import csv
import io
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from ..core.errors import DataError
from ..core.files import read_jsonl, read_text
from ..core.sample import DEFAULT_TASK
from ..core.text import find_unstorable

COLUMNS = ("id", "prediction", "reference", "text", "language", "task")
"""Columns that are read from a table or JSON Lines. Other columns are ignored."""


@dataclass(frozen=True, kw_only=True)
class Sentences:
    """One side of a score: hypotheses or references."""

    source: str
    """File name, for errors."""
    texts: tuple[str, ...]
    """Raw, in the order of the file."""
    ids: tuple[str, ...] | None = None
    """One id for each text, or None."""
    languages: frozenset[str] = frozenset()
    """ISO 639 codes in the file."""
    lines: tuple[int, ...] | None = None
    """Line of each sentence in the file, counted from 1."""

    def only(self, kept: Sequence[int]) -> "Sentences":
        """Return the sentences with the given numbers, in the given order."""
        return replace(
            self,
            texts=tuple(self.texts[index] for index in kept),
            ids=None if self.ids is None else tuple(self.ids[index] for index in kept),
            lines=None if self.lines is None else tuple(self.lines[index] for index in kept),
        )

    def place(self, index: int) -> str:
        """Return where sentence ``index`` stands, for errors."""
        places = [] if self.lines is None else [f"line {self.lines[index]}"]
        places += [] if self.ids is None else [f"id {self.ids[index]!r}"]
        return ", ".join([self.source, *(places or [f"sentence {index + 1}"])])


@dataclass(frozen=True, kw_only=True)
class SentenceFile:
    """Columns of a file, all of one length."""

    path: Path
    columns: Mapping[str, tuple[str, ...]]
    """Name -> one value for each row."""
    lines: tuple[int, ...]
    """Line number of each row, counted from 1. A row over several lines has the number of the last line."""

    @property
    def is_predictions(self) -> bool:
        """Whether the file holds both sides, like the predictions file of a run."""
        return {"prediction", "reference"} <= self.columns.keys()

    def hypotheses(self) -> Sentences:
        """Return the column ``prediction``, or else ``text``."""
        return self._side("prediction", "text")

    def references(self) -> Sentences:
        """Return the column ``reference``, or else ``text``."""
        return self._side("reference", "text")

    def _check_tasks(self) -> None:
        """Refuse glosses and single signs, whose scores are no scores of translation."""
        others = [task for task in self.columns.get("task", ()) if task not in ("", DEFAULT_TASK)]
        if others:
            raise DataError(
                f"{self.path} must hold translations alone, but {len(others)} rows have task {others[0]!r}.\n"
                "fla evaluate scores each task by its own metric."
            )

    def _side(self, *names: str) -> Sentences:
        name = next((name for name in names if name in self.columns), None)
        if name is None:
            raise DataError(
                f"{self.path} must have a column {' or '.join(map(repr, names))}, but of the columns known "
                f"({', '.join(COLUMNS)}) it has {', '.join(self.columns) or 'none'}."
            )
        self._check_tasks()
        return Sentences(
            source=str(self.path),
            texts=self.columns[name],
            ids=self.columns.get("id"),
            languages=frozenset(filter(None, self.columns.get("language", ()))),
            lines=self.lines,
        )


def read_sentence_file(path: Path) -> SentenceFile:
    """Read a file of sentences. The name and the first line decide the format.

    JSON Lines end in ``.jsonl`` or begin with ``{``. Tables end in ``.tsv`` or ``.csv``, or have a tab in the
    first line, the header. The delimiter is a tab, or a comma where the header has no tab. Any other file has
    one sentence a line, and an empty line is an empty sentence.

    Raises:
        DataError: the file is unreadable, not UTF-8, empty, or malformed, or a text contains U+0000 or half
            of a surrogate pair. The message names the line.
    """
    file = _read(path)
    for name, texts in file.columns.items():
        for text, line in zip(texts, file.lines, strict=True):
            if found := find_unstorable(text):
                raise DataError(f"{path}, line {line}: {name!r} must be without {found}, but is {text!r}.")
    return file


def _read(path: Path) -> SentenceFile:
    # Windows editors. A single CR stays: it is part of a sentence.
    text = read_text(path).replace("\r\n", "\n")
    if not text.strip():
        raise DataError(f"{path} must hold sentences, but is empty.")
    # The first line decides: a later tab or brace may be part of a sentence.
    header = text.split("\n", 1)[0]
    if path.suffix == ".jsonl" or header.startswith("{"):
        return _from_json_lines(path, text)
    if path.suffix in (".tsv", ".csv") or "\t" in header:
        return _from_table(path, text, delimiter="\t" if "\t" in header else ",")
    # Not splitlines(): a sentence may hold U+2028 or a form feed.
    sentences = tuple(text.removesuffix("\n").split("\n"))
    return SentenceFile(path=path, columns={"text": sentences}, lines=tuple(range(1, len(sentences) + 1)))


def _from_json_lines(path: Path, text: str) -> SentenceFile:
    rows = read_jsonl(path)
    lines = tuple(number for number, line in enumerate(text.split("\n"), 1) if line.strip())
    names = [name for name in COLUMNS if name in rows[0]]
    columns = {
        name: tuple(
            _json_text(row, name, f"{path}, line {line}") for row, line in zip(rows, lines, strict=True)
        )
        for name in names
    }
    return SentenceFile(path=path, columns=columns, lines=lines)


def _json_text(row: Mapping[str, Any], name: str, place: str) -> str:
    if name not in row:
        raise DataError(f"{place} must have {name!r} as the first row has, but has {', '.join(row)}.")
    value = row[name]
    # JSON writers of other code leave the quotes of numeric ids out.
    if name == "id" and isinstance(value, int):
        return str(value)
    if not isinstance(value, str):
        raise DataError(f"{place}: {name!r} must be text, but is {value!r}.")
    return value


def _from_table(path: Path, text: str, *, delimiter: str) -> SentenceFile:
    # strict: a sentence that begins with a stray quote is an error, not the start of a field of many lines.
    reader = csv.reader(io.StringIO(text), delimiter=delimiter, strict=True)
    rows: list[list[str]] = []
    lines: list[int] = []
    try:
        for row in reader:
            if row:
                rows.append(row)
                lines.append(reader.line_num)
    except csv.Error as error:
        raise DataError(
            f"{path}, line {reader.line_num} must be a row of fields, quoted or not, but is not: {error}.\n"
            'Write a field that begins with a quote as """so"" it goes", or use JSON Lines.'
        ) from error
    header, *rows = rows
    for row, line in zip(rows, lines[1:], strict=True):
        if len(row) != len(header):
            raise DataError(
                f"{path}, line {line} must have {len(header)} fields as the header has, but has {len(row)}."
            )
    columns = {name: tuple(row[header.index(name)] for row in rows) for name in COLUMNS if name in header}
    return SentenceFile(path=path, columns=columns, lines=tuple(lines[1:]))
