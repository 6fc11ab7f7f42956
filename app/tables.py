"""Tables of a report: scores of evaluations, settings and provenance of runs side by side."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from ..pipeline.evaluation import count_clips
from ..scoring.scorecard import COLUMNS
from .read_run import RunRecord
from .sentences import Sentence, score_all

_TASK_FIGURES = {"recognise": {"WER": "wer", "exact": "exact_match"}, "isolated": {"exact": "top1"}}
"""Figures of a task in the columns of the page."""

BULKY = {"missing", "unreadable", "begun_without", "dev"}
"""Entries of ``run.json`` that have a place of their own on the page."""
ABSENT = "–"


@dataclass(frozen=True, kw_only=True)
class ScoreRow:
    """Scores of an evaluation under a protocol, a row of the table."""

    run: int
    run_name: str
    evaluation: str
    """Name in ``scores.json``."""
    protocol: str
    clips: str
    """Number of scored clips, and what is missing."""
    count: int
    is_shuffled: bool
    is_trial: bool
    split: str
    figures: dict[str, float | None]
    """Label of a column -> figure, unrounded. Empty: the protocol refused the text."""
    remark: str
    """Signature of the figures, or the reason of a refusal."""


@dataclass(frozen=True, kw_only=True)
class Entry:
    """One property of all runs."""

    key: str
    values: list[str]

    @property
    def differs(self) -> bool:
        """Whether the runs differ."""
        return len(set(self.values)) > 1


@dataclass(frozen=True, kw_only=True)
class Headline:
    """First figure of a run, with the control beside the figure."""

    result: ScoreRow | None
    shuffled: ScoreRow | None
    """The evaluation with shuffled features on the same split under the same protocol."""


def score_rows(number: int, run: RunRecord, sentences: Sequence[Sentence], *, split: str) -> list[ScoreRow]:
    """Return the rows of a run: every evaluation in ``scores.json``, and the predictions of training.

    Args:
        number: number of the run on the page.
        run: the run.
        sentences: the sentences of ``predictions-<split>.jsonl``.
        split: the split of the sentences.
    """
    rows = [
        _score_row(number, run, name, entry, protocol, found)
        for name, entry in run.scores.items()
        for protocol, found in entry["protocols"].items()
    ]
    rows += [
        _task_row(number, run, name, entry, task)
        for name, entry in run.scores.items()
        for task in entry.get("tasks", {})
    ]
    scores = None if split in run.scores else score_all(sentences)
    # Mixed languages and refused text have no scores.
    if scores is not None:
        # Training translates dev with the selected weights, and writes sentences but no scores.json.
        entry = {**scores.to_dict(), "split": split, "missing": run.missing.get(split, {})}
        entry["clips"] = scores.count + len(entry["missing"])
        rows.insert(0, _score_row(number, run, split, entry, scores.protocol, scores.to_dict()))
    return rows


def headline(rows: Sequence[ScoreRow]) -> Headline:
    """Return the first figure of a run: of test before dev, of results before trials."""
    # Glosses and single signs have no BLEU, and stand in the table alone.
    scored = [row for row in rows if row.figures.get("BLEU-4") is not None and not row.is_shuffled]
    if not scored:
        return Headline(result=None, shuffled=None)
    result = min(scored, key=_rank)
    controls = [
        row
        for row in rows
        if row.is_shuffled and row.figures and (row.split, row.protocol) == (result.split, result.protocol)
    ]
    return Headline(result=result, shuffled=min(controls, key=_rank) if controls else None)


def _rank(row: ScoreRow) -> tuple[bool, bool]:
    return row.is_trial, row.split != "test"


def settings_table(runs: Sequence[RunRecord]) -> list[Entry]:
    """Return every setting of the runs, under dotted names as in ``--set``."""
    return _side_by_side([_flat(run.settings) for run in runs])


def provenance_table(runs: Sequence[RunRecord]) -> list[Entry]:
    """Return what the runs were made from: corpus, encoder, language model, fingerprints, versions."""
    found = []
    for run in runs:
        own = {key: value for key, value in run.described.items() if key not in BULKY}
        found.append({"folder": str(run.folder), **_flat(own), **_flat(run.clips, prefix="clips.")})
    return _side_by_side(found)


def _score_row(
    number: int, run: RunRecord, name: str, entry: Mapping[str, Any], protocol: str, found: Mapping[str, Any]
) -> ScoreRow:
    refused = found.get("refused")
    return ScoreRow(
        run=number,
        run_name=run.name,
        evaluation=name,
        protocol=protocol,
        clips=count_clips(entry),
        count=entry["count"],
        is_shuffled=bool(entry.get("shuffled")),
        is_trial=bool(entry.get("trial")),
        split=entry["split"],
        # An older entry may lack a figure that is computed today.
        figures={} if refused else {label: found.get(key) for label, key in COLUMNS.items()},
        remark=refused or found.get("signature", ""),
    )


def _task_row(number: int, run: RunRecord, name: str, entry: Mapping[str, Any], task: str) -> ScoreRow:
    """Return the scores of a task other than translation, which no protocol changes."""
    own = entry["tasks"][task]
    row = _score_row(number, run, name, entry, task, {})
    figures = {label: own.get(_TASK_FIGURES[task].get(label, "")) for label in COLUMNS}
    counts = ", ".join(
        f"{key.replace('_', ' ')} {value:.2f}"
        if isinstance(value, float)
        else f"{key.replace('_', ' ')} {value}"
        for key, value in own.items()
    )
    return replace(row, figures=figures, count=own["count"], remark=counts)


def _flat(values: Mapping[str, Any], *, prefix: str = "") -> dict[str, str]:
    """Return nested values as text under dotted names."""
    found: dict[str, str] = {}
    for name, value in values.items():
        if isinstance(value, dict) and value:
            found |= _flat(value, prefix=f"{prefix}{name}.")
        elif isinstance(value, list) and any(isinstance(item, dict) for item in value):
            for number, item in enumerate(value, 1):
                found |= _flat({str(number): item}, prefix=f"{prefix}{name}.")
        else:
            found[f"{prefix}{name}"] = _words(value)
    return found


def _words(value: Any) -> str:
    if value is None or value in ([], {}, ""):
        return ABSENT
    if isinstance(value, bool):
        return "true" if value else "false"
    return ", ".join(map(_words, value)) if isinstance(value, list) else str(value)


def _side_by_side(columns: Sequence[Mapping[str, str]]) -> list[Entry]:
    # Not sorted: settings stand as in the file.
    keys = dict.fromkeys(key for column in columns for key in column)
    return [Entry(key=key, values=[column.get(key, ABSENT) for column in columns]) for key in keys]
