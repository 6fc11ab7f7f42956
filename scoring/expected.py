"""Comparison of measured scores with expected scores of a paper or an earlier run."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ..core.errors import DataError
from ..core.files import read_json
from .protocols import DEFAULT_PROTOCOL, PROTOCOLS
from .scorecard import COLUMNS, ProtocolScores, table

TOLERANCE = 0.01
"""Two figures closer than this count as equal, because papers print two decimals."""
METRICS = tuple(COLUMNS.values())


@dataclass(frozen=True, kw_only=True)
class ExpectedScore:
    """Expected figure beside the measured figure, in percent."""

    protocol: str
    metric: str
    expected: float
    found: float | None
    """Measured figure, or None where the protocol has no such figure."""

    @property
    def is_same(self) -> bool:
        """Whether the two agree within ``TOLERANCE``."""
        return self.found is not None and abs(self.found - self.expected) < TOLERANCE


def read_expected(path: Path) -> dict[str, dict[str, float]]:
    """Read expected figures: protocol -> metric -> figure, in percent.

    The file is JSON, ``{"gfslt": {"bleu4": 21.44}}`` as ``fla score --json`` prints it, or
    ``{"bleu4": 21.44}`` alone for the default protocol. Keys that are no figures are passed over.

    Raises:
        DataError: there is no figure in it, or one is no number.
    """
    content = read_json(path)
    figures = (
        {name: content[name] for name in PROTOCOLS if name in content} if isinstance(content, dict) else {}
    )
    # A file with figures alone belongs to the default protocol.
    if not figures and isinstance(content, dict):
        figures = {DEFAULT_PROTOCOL: content}
    expected = {name: _figures(each, path) for name, each in figures.items() if isinstance(each, Mapping)}
    if not any(expected.values()):
        raise DataError(
            f"{path} must hold figures such as "
            '{"sacrebleu": {"bleu4": 21.44}}, but has none '
            f"of {', '.join(METRICS)}."
        )
    return expected


def compare_with_expected(
    rows: Sequence[ProtocolScores], expected: Mapping[str, Mapping[str, float]]
) -> list[ExpectedScore]:
    """Return every expected figure beside the first system's own.

    Raises:
        DataError: a protocol expected was not scored.
    """
    scored = {row.protocol: row for row in rows}
    compared = []
    for protocol, figures in expected.items():
        if protocol not in scored:
            raise DataError(
                f"Figures are expected under {protocol}, but scored was {', '.join(scored)}.\n"
                f"Add: --protocol {protocol}"
            )
        own = scored[protocol].own
        compared += [
            ExpectedScore(
                protocol=protocol,
                metric=metric,
                expected=figure,
                # Expected figures belong to one system, the first.
                found=getattr(own[0][1], metric) if own else None,
            )
            for metric, figure in figures.items()
        ]
    return compared


def describe_compared(compared: Sequence[ExpectedScore]) -> str:
    """Return the comparison as a table for people."""
    cells = [["", "expected", "found", "difference"]]
    for row in compared:
        found = ["-", "-"] if row.found is None else [f"{row.found:.2f}", f"{row.found - row.expected:+.2f}"]
        cells.append([f"{row.protocol} {row.metric}", f"{row.expected:.2f}", *found])
    return table(cells)


def _figures(content: Mapping[str, Any], path: Path) -> dict[str, float]:
    found = {metric: content[metric] for metric in METRICS if content.get(metric) is not None}
    for metric, figure in found.items():
        # bool is an int, and true is no score.
        if isinstance(figure, bool) or not (isinstance(figure, int | float) and math.isfinite(figure)):
            raise DataError(f"{path}: {metric} must be a number from 0 to 100, but is {figure!r}.")
    return found
