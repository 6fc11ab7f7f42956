"""Export of sentence pairs for metrics with an environment of their own: BLEURT, BERTScore, COMET."""

from collections.abc import Sequence
from pathlib import Path

from ..core.errors import DataError
from ..core.files import atomic_write, write_jsonl

HYPOTHESES_FILE, REFERENCES_FILE, PAIRS_FILE = "hypotheses.txt", "references.txt", "pairs.jsonl"


def export_pairs(
    folder: Path, *, ids: Sequence[str], hypotheses: Sequence[str], references: Sequence[str], language: str
) -> None:
    """Write unchanged sentences in lines, and both sides together as JSON Lines.

    Args:
        folder: created if missing. The three files in the folder are replaced.
        ids: one id for each pair.
        hypotheses: one sentence for each pair. An empty hypothesis is an empty line.
        references: one sentence for each pair.
        language: ISO 639 code.

    Raises:
        DataError: a sentence contains a line break. The message names the pair.
    """
    # Checked before anything is written: line n of both files must be the same pair.
    for name, *sentences in zip(ids, hypotheses, references, strict=True):
        if any("\n" in sentence or "\r" in sentence for sentence in sentences):
            raise DataError(
                f"A sentence must be one line to be exported, but pair {name!r} breaks: {sentences}."
            )
    folder.mkdir(parents=True, exist_ok=True)
    for name, side in ((HYPOTHESES_FILE, hypotheses), (REFERENCES_FILE, references)):
        with atomic_write(folder / name) as temporary:
            # Other metrics read one sentence for each line, without quotes or headers.
            temporary.write_text("".join(f"{sentence}\n" for sentence in side), encoding="utf-8")
    keys = ("id", "prediction", "reference")
    rows = zip(ids, hypotheses, references, strict=True)
    write_jsonl(
        folder / PAIRS_FILE, ({**dict(zip(keys, row, strict=True)), "language": language} for row in rows)
    )
