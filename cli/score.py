"""``fla score``: score a file of hypotheses, or compare two."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from ..core.errors import DataError
from ..core.sample import SPLITS
from .options import emit, json_option

if TYPE_CHECKING:  # the room loads sacrebleu and NumPy, which --help need not wait for
    from ..scoring import Comparison, Scores, SentenceFile, Sentences

FILE = click.Path(path_type=Path)  # not exists=True: a path that is not there is input refused, exit code 1

COLUMNS = {
    "BLEU-1": "bleu1",
    "BLEU-2": "bleu2",
    "BLEU-3": "bleu3",
    "BLEU-4": "bleu4",
    "chrF2": "chrf",
    "ROUGE-L": "rouge_l",
}
COMPARED = {"BLEU-4": "bleu4", "chrF2": "chrf"}


@click.command()
@click.argument("hyps", type=FILE)
@click.argument("hyps_b", type=FILE, required=False)
@click.option("--refs", type=FILE, help="References, or a manifest; a predictions file has its own.")
@click.option(
    "--split", type=click.Choice(SPLITS), default="test", show_default=True, help="Of a manifest in --refs."
)
@click.option("--language", metavar="CODE", help="de, en, zh, ...; else what the files say, else en.")
@json_option
def command(
    hyps: Path, hyps_b: Path | None, refs: Path | None, split: str, language: str | None, as_json: bool
) -> None:
    """Score HYPS, or compare it with HYPS_B: BLEU-1 to BLEU-4, chrF and ROUGE-L, all 0-100.

    A file holds plain lines, or TSV, CSV or JSON Lines with the columns id and prediction (or text). Where
    both sides have ids they are matched by id, else line by line. Two systems are compared by paired
    bootstrap.
    """
    from ..scoring import common_language, compare, pair, read_sentence_file, score

    files = [read_sentence_file(path) for path in (hyps, hyps_b) if path is not None]
    references = _own_references(files) if refs is None else _read_references(refs, split)
    sides = [file.hypotheses() for file in files]
    language = language or common_language(references, *sides) or "en"
    systems = [pair(side, references) for side in sides]
    scores = [score(system, references.texts, language=language) for system in systems]
    comparison = (
        compare(systems[0], systems[1], references.texts, language=language) if len(systems) == 2 else {}
    )
    names = [side.source for side in sides]
    emit(as_json, _content(names, scores, comparison), _report(names, scores, comparison))


def _own_references(files: Sequence[SentenceFile]) -> Sentences:
    """Return the references of predictions files, which must agree."""
    from ..scoring import check_same_references

    if not files[0].is_predictions:
        raise DataError(
            f"{files[0].path} must be scored against references, but has none.\nName them: --refs"
        )
    references = files[0].references()
    for file in files[1:]:
        if file.is_predictions:
            check_same_references(file.references(), references)
    return references


def _read_references(path: Path, split: str) -> Sentences:
    """Return the sentences of a manifest's split, or of any other file."""
    from ..corpora.manifest import is_manifest, read_manifest
    from ..scoring import Sentences, read_sentence_file

    if not is_manifest(path):
        return read_sentence_file(path).references()
    samples = read_manifest(path).split(split)
    return Sentences(
        source=f"{path} ({split})",
        texts=tuple(sample.text for sample in samples),
        ids=tuple(sample.id for sample in samples),
        languages=frozenset(sample.language for sample in samples),
    )


def _content(names: list[str], scores: list[Scores], comparison: dict[str, Comparison]) -> dict[str, Any]:
    """Return what --json prints: the protocol's name -> scores of HYPS, and what HYPS_B adds."""
    first, *others = ({"file": name, **row.to_dict()} for name, row in zip(names, scores, strict=True))
    if others:
        first["second"] = others[0]
        first["paired_bootstrap"] = {metric: row.to_dict() for metric, row in comparison.items()}
    return {scores[0].protocol: first}


def _report(names: list[str], scores: list[Scores], comparison: dict[str, Comparison]) -> str:
    """Return the same for people."""
    rows = [["", *COLUMNS, "sentences"]]
    for name, row in zip(names, scores, strict=True):
        figures = row.to_dict()
        rows.append([name, *(f"{figures[key]:.2f}" for key in COLUMNS.values()), str(row.count)])
    signatures = [
        ["BLEU", scores[0].signature],
        ["chrF2", scores[0].chrf_signature],
        ["ROUGE-L", scores[0].rouge_signature],
    ]
    parts = [_table(rows), _compared(names, comparison)] if comparison else [_table(rows)]
    return "\n\n".join([*parts, "\n".join(f"{name:8}{signature}" for name, signature in signatures)])


def _compared(names: list[str], comparison: dict[str, Comparison]) -> str:
    rows = [["paired bootstrap", *names, "p"]]
    for label, metric in COMPARED.items():
        row = comparison[metric]
        first = _with_interval(row.first, row.first_interval)
        second = _with_interval(row.second, row.second_interval)
        rows.append([label, first, second, f"{row.p_value:.4f}"])
    return _table(rows)


def _with_interval(figure: float, interval: float) -> str:
    return f"{figure:.2f} ± {interval:.2f}"


def _table(rows: list[list[str]]) -> str:
    """Return rows in columns, the first to the left and the others to the right."""
    first, *widths = (max(map(len, column)) for column in zip(*rows, strict=True))
    return "\n".join(
        "  ".join(
            [row[0].ljust(first), *(cell.rjust(width) for cell, width in zip(row[1:], widths, strict=True))]
        )
        for row in rows
    )
