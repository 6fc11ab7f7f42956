"""``log.jsonl``: a JSON object with its step on each line."""

import json
from pathlib import Path
from typing import Any

from ..core.files import write_jsonl


class TrainingLog:
    """Log of a training, a JSON Lines file."""

    def __init__(self, path: Path) -> None:
        """Use the file ``path``, which may be absent."""
        self.path = path

    def rows(self) -> list[dict[str, Any]]:
        """Return all rows. A line that a kill left unfinished is skipped."""
        if not self.path.is_file():
            return []
        lines = self.path.read_text(encoding="utf-8").split("\n")
        return [row for line in lines if (row := _row(line)) is not None]

    def rewind(self, step: int, *, evaluated: bool = True) -> list[dict[str, Any]]:
        """Remove rows after ``step``, and its dev scores if not ``evaluated``. Return the other rows."""
        # The resumed run repeats the later steps, and logs them again.
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
