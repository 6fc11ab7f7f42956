"""Hand pairs to metrics that need an environment of their own: BLEURT, BERTScore, COMET."""

from collections.abc import Sequence
from pathlib import Path

from ..core.errors import DataError
from ..core.files import atomic_write, write_jsonl

HYPOTHESES_FILE, REFERENCES_FILE, PAIRS_FILE = "hypotheses.txt", "references.txt", "pairs.jsonl"


def export_pairs(
    folder: Path, *, ids: Sequence[str], hypotheses: Sequence[str], references: Sequence[str], language: str
) -> None:
    """Write raw sentences a line each, and both sides together as JSON Lines.

    Args:
        folder: made if it is not there; the three files in it are replaced.
        ids: one a pair.
        hypotheses: as many; an empty one is an empty line.
        references: as many.
        language: ISO 639 code.

    Raises:
        DataError: a sentence holds a line break; it names the pair.
    """
    for name, *sentences in zip(ids, hypotheses, references, strict=True):
        if any("\n" in sentence or "\r" in sentence for sentence in sentences):
            raise DataError(
                f"A sentence must be one line to be exported, but pair {name!r} breaks: {sentences}."
            )
    folder.mkdir(parents=True, exist_ok=True)
    for name, side in ((HYPOTHESES_FILE, hypotheses), (REFERENCES_FILE, references)):
        with atomic_write(folder / name) as temporary:
            temporary.write_text("".join(f"{sentence}\n" for sentence in side), encoding="utf-8")
    keys = ("id", "prediction", "reference")
    rows = zip(ids, hypotheses, references, strict=True)
    write_jsonl(
        folder / PAIRS_FILE, ({**dict(zip(keys, row, strict=True)), "language": language} for row in rows)
    )
