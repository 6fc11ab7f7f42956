"""``log.jsonl``: one object a line, each with its step; what a resumed run repeats is cut off first."""

import json
from pathlib import Path
from typing import Any

from ..core.files import write_jsonl


class TrainingLog:
    """Appends rows to a JSON Lines file."""

    def __init__(self, path: Path) -> None:
        """Log into ``path``."""
        self.path = path

    def rows(self) -> list[dict[str, Any]]:
        """Return all rows but a last line that a kill left half written."""
        if not self.path.is_file():
            return []
        lines = self.path.read_text(encoding="utf-8").split("\n")
        return [row for line in lines if (row := _row(line)) is not None]

    def rewind(self, step: int, *, evaluated: bool = True) -> list[dict[str, Any]]:
        """Drop rows past ``step`` and return the others; not ``evaluated``: drop its dev scores too."""
        rows = [row for row in self.rows() if row["step"] <= step]
        if not evaluated:
            rows = [row for row in rows if row["step"] < step or "dev" not in row]
        if self.path.is_file():
            write_jsonl(self.path, rows)
        return rows

    def write(self, row: dict[str, Any]) -> None:
        """Append a row."""
        with self.path.open("a", encoding="utf-8") as file:
            file.write(json.dumps(row, ensure_ascii=False) + "\n")


def _row(line: str) -> dict[str, Any] | None:
    try:
        return json.loads(line)
    except json.JSONDecodeError:
        return None
