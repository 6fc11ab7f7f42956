"""Scores of several systems under one protocol or all protocols, and a table of the scores."""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any

from ..core.errors import DataError
from .compare import Comparison, compare
from .multi_reference import MultiReferenceScores, score_multi_reference
from .score import DEFAULT_RESAMPLES, Scores, score

COLUMNS = {
    "BLEU-1": "bleu1",
    "BLEU-2": "bleu2",
    "BLEU-3": "bleu3",
    "BLEU-4": "bleu4",
    "ROUGE-L": "rouge_l",
    "chrF2": "chrf",
    "WER": "wer",
    "exact": "exact_match",
}
NO_FIGURE = "-"


@dataclass(frozen=True, kw_only=True)
class Systems:
    """Systems on the same references."""

    own: Sequence[tuple[str, Sequence[str]]]
    """File and hypotheses of one system or two systems."""
    guesses: Mapping[str, Sequence[str]] = field(default_factory=dict[str, Sequence[str]])
    """Name -> sentences of a baseline without video."""


@dataclass(frozen=True, kw_only=True)
class ProtocolScores:
    """Scores of all systems under one protocol."""

    protocol: str
    own: Sequence[tuple[str, Scores]] = ()
    guesses: Mapping[str, Scores] = field(default_factory=dict[str, Scores])
    comparison: Mapping[str, Comparison] = field(default_factory=dict[str, Comparison])
    """Metric -> the first system against the second, where there are two."""
    multi_reference: Sequence[MultiReferenceScores] = ()
    """Scores of the own systems against several references, where clips have several."""
    refused: str | None = None
    """Reason why the protocol refuses the text. Then there are no scores."""

    def to_dict(self) -> dict[str, Any]:
        """Return the figures of the first system, and further figures under other keys."""
        if self.refused is not None:
            return {"refused": self.refused}
        first, *others = ({"file": name, **scores.to_dict()} for name, scores in self.own)
        for content, scores in zip((first, *others), self.multi_reference, strict=False):
            content["multi_reference"] = asdict(scores)
        if others:
            first["second"] = others[0]
            first["paired_bootstrap"] = {metric: row.to_dict() for metric, row in self.comparison.items()}
        if self.guesses:
            first["baselines"] = {name: scores.to_dict() for name, scores in self.guesses.items()}
        return first


def score_systems(
    systems: Systems,
    references: Sequence[str],
    *,
    language: str,
    protocols: Sequence[str],
    also: Sequence[str] = (),
    resamples: int = DEFAULT_RESAMPLES,
    intervals: bool = False,
    further: Sequence[Sequence[str]] = (),
) -> list[ProtocolScores]:
    """Score all systems under each protocol.

    Args:
        systems: one system, or two systems to compare.
        references: one reference for each hypothesis.
        language: ISO 639 code.
        protocols: names of ``PROTOCOLS``.
        also: further protocols, whose rows come last.
        resamples: number of resampled test sets for a comparison and for intervals.
        intervals: compute intervals.
        further: further references of each clip, for multi-reference BLEU. Without any, no such score.

    Raises:
        DataError: the only protocol refuses the text. One of several protocols, or one of ``also``, gives a
            row with the reason instead.
    """

    def row(protocol: str) -> ProtocolScores:
        # Resampling takes most of the time, so it is asked for explicitly.
        drawn = resamples if intervals else 0
        rules: dict[str, Any] = {"language": language, "protocol": protocol}
        own = [(name, score(each, references, **rules, resamples=drawn)) for name, each in systems.own]
        guessed = {name: score(each, references, **rules) for name, each in systems.guesses.items()}
        compared = {}
        # Only two systems have a difference.
        if len(systems.own) == 2:
            (_, first), (_, second) = systems.own
            compared = compare(first, second, references, **rules, resamples=resamples)
        several = [
            score_multi_reference(each, references, further, **rules)
            for _, each in systems.own
            if any(further)
        ]
        return ProtocolScores(
            protocol=protocol, own=own, guesses=guessed, comparison=compared, multi_reference=several
        )

    rows = []
    for protocol in (*protocols, *also):
        try:
            rows.append(row(protocol))
        except DataError as error:
            if [protocol] == list(protocols):
                raise
            rows.append(ProtocolScores(protocol=protocol, refused=str(error).split("\n")[0]))
    return rows


def describe_rows(rows: Sequence[ProtocolScores], *, missing: int = 0) -> str:
    """Return the rows as text: a table, comparisons and signatures.

    Args:
        rows: at least one row.
        missing: number of sentences without a hypothesis, for a column of the table.
    """
    lacking = [str(missing)] if missing else []
    cells = [["", "", *COLUMNS, "sentences", *["missing" for _ in lacking]]]
    for row in rows:
        guessed = [(name.replace("_", " "), scores) for name, scores in row.guesses.items()]
        for name, scores in [*row.own, *guessed]:
            cells.append([row.protocol, name, *_figures(scores), str(scores.count), *lacking])
        if row.refused is not None:
            cells.append([row.protocol, "refused", *[NO_FIGURE] * (len(COLUMNS) + 1), *lacking])
    # One system needs no column for its name.
    if len({line[1] for line in cells[1:]} - {"refused"}) == 1:
        cells = [[first, *rest] for first, _, *rest in cells]
    several = "\n".join(line for row in rows for line in _several(row))
    compared = [_compared(row) for row in rows if row.comparison]
    return "\n\n".join(filter(None, [table(cells), several, *compared, _notes(rows)]))


def _figures(scores: Scores) -> list[str]:
    return [_figure(scores, key) for key in COLUMNS.values()]


def _figure(scores: Scores, key: str) -> str:
    value, interval = getattr(scores, key), (scores.intervals or {}).get(key)
    if value is None:
        return NO_FIGURE
    return f"{value:.2f}" if interval is None else f"{value:.2f} ± {interval:.2f}"


def _several(row: ProtocolScores) -> list[str]:
    """Return a line for each system with a score against several references."""
    return [
        f"{row.protocol}{f', {name}' if len(row.own) > 1 else ''}: multi-reference BLEU-4 "
        f"{found.multi_reference_bleu4:.2f} against {found.references_per_clip:.2f} references a clip\n"
        f"{found.signature}"
        for (name, _), found in zip(row.own, row.multi_reference, strict=False)
    ]


def _compared(row: ProtocolScores) -> str:
    cells = [[f"{row.protocol}, paired bootstrap", *(name for name, _ in row.own), "p"]]
    for label, metric in COLUMNS.items():
        if found := row.comparison.get(metric):
            cells.append(
                [
                    label,
                    f"{found.first:.2f} ± {found.first_interval:.2f}",
                    f"{found.second:.2f} ± {found.second_interval:.2f}",
                    f"{found.p_value:.4f}",
                ]
            )
    return table(cells)


def _notes(rows: Sequence[ProtocolScores]) -> str:
    """Return signatures, counts of edits, reasons for missing figures, and warnings about Unicode."""
    lines = []
    for row in rows:
        if row.refused is not None:
            lines.append(f"{row.protocol}: {row.refused}")
            continue
        _, scores = row.own[0]
        lines += [scores.signature, f"{row.protocol}: WER of {scores.word_errors}"]
        if scores.rouge_reason:
            lines.append(f"{row.protocol}: no ROUGE-L: {scores.rouge_reason}")
    return "\n".join(lines + _unicode_notes(rows))


def _unicode_notes(rows: Sequence[ProtocolScores]) -> list[str]:
    """Return a line for each note on Unicode, with the names of all protocols concerned."""
    protocols: dict[str, list[str]] = {}
    for row in rows:
        for name, scores in row.own:
            if scores.unicode_note:
                source = f"{name}: " if len(row.own) > 1 else ""
                protocols.setdefault(f"{source}{scores.unicode_note}", []).append(row.protocol)
    return [
        f"Unicode is not normalised by {', '.join(names)}: {note}.\nWrite both sides in NFC, and score again."
        for note, names in protocols.items()
    ]


def table(rows: list[list[str]]) -> str:
    """Return rows as aligned columns, the first column to the left and the others to the right."""
    first, *widths = (max(map(len, column)) for column in zip(*rows, strict=True))
    return "\n".join(
        "  ".join(
            [row[0].ljust(first), *(cell.rjust(width) for cell, width in zip(row[1:], widths, strict=True))]
        ).rstrip()
        for row in rows
    )
