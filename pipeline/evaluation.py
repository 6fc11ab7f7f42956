"""Evaluation: what is asked of a run, which clips it covers, and the scores that came out."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from ..core.missing import Missing, describe_missing
from ..core.sample import Split, Unreadable
from ..finetune.store import EvaluationBounds
from ..scoring.protocols import DEFAULT_PROTOCOL
from ..scoring.score import Scores
from ..scoring.scorecard import ProtocolScores, describe_rows

Decoding = tuple[str | None, tuple[str, ...]]
"""What ``--config`` and ``--set`` say about the search; it goes over the run's own settings."""


@dataclass(frozen=True, kw_only=True)
class Request:
    """What is asked of a run, whichever its stage."""

    split: Split = "test"
    shuffle_features: bool = False
    """Every clip gets the features of a clip with a different sentence."""
    decoding: Decoding = (None, ())
    limit: int | None = None
    seed: int = 0
    """Draws the shuffle."""
    device: str = "auto"
    protocol: str = DEFAULT_PROTOCOL
    """How to score: a protocol's name, or ``all``."""
    n_best: int | None = None
    """Stage two: hypotheses written for each clip, with their scores; None for the best alone, unscored."""
    llm: str | None = None
    """Stage two: where the run's language model lies now; None for where it lay in tuning."""
    phase: int = 0
    """Stage one: index of the first frame kept of every ``stride``."""


@dataclass(frozen=True, kw_only=True)
class Coverage:
    """The clips of a split that an evaluation can score, and those that it cannot."""

    clips: int
    """Clips of the split as far as its cache or manifest knows them: scored, missing or beyond a limit."""
    missing: Missing
    corpora: Sequence[str]
    """The corpora of the clips, sorted."""
    trained_on: Sequence[str]
    """The corpora that the run was trained on, sorted; none where the run does not say."""

    def without(self, unreadable: Sequence[Unreadable]) -> "Coverage":
        """Return the same with further missing clips."""
        return replace(self, missing={**self.missing, **{clip.id: clip.reason for clip in unreadable}})


@dataclass(frozen=True, kw_only=True)
class Evaluation:
    """Scores of a split, and where the sentences are."""

    request: Request
    name: str
    """Key in ``scores.json`` and part of the file name of the predictions."""
    trial: Sequence[str]
    """Every setting in which the evaluation differs from the run's own; none: a full result."""
    coverage: Coverage
    rows: list[ProtocolScores]
    """One for each protocol that was asked for; the first has scores."""
    earlier_rows: list[ProtocolScores]
    """One for each other protocol that ``scores.json`` already had under this name."""
    decoding: dict[str, Any]
    bounds: EvaluationBounds | None
    """Stage two: of the batches that were translated; None in stage one."""
    predictions: Path
    too_long: int | None
    """References with more tokens than the search may give; None for stage one, which does not count them."""

    @property
    def scores(self) -> Scores:
        """The scores under the first protocol."""
        return self.rows[0].own[0][1]

    def to_dict(self) -> dict[str, Any]:
        """Return what ``--json`` prints, the figures of the first protocol above all."""
        return self._content(self.rows)

    def to_record(self) -> dict[str, Any]:
        """Return what ``scores.json`` keeps: every protocol, the default one above all where it is scored.

        Another protocol over the same sentences adds rows, and replaces no figure.
        """
        scored = sorted(
            [*self.rows, *self.earlier_rows],
            key=lambda row: (row.refused is not None, row.protocol != DEFAULT_PROTOCOL),
        )
        return self._content(scored)

    def _content(self, rows: Sequence[ProtocolScores]) -> dict[str, Any]:
        coverage = self.coverage
        return {
            "name": self.name,
            "split": self.request.split,
            "shuffled": self.request.shuffle_features,
            "phase": self.request.phase,
            "trial": list(self.trial),
            "clips": coverage.clips,
            "missing": dict(coverage.missing),
            "corpora": list(coverage.corpora),
            **rows[0].own[0][1].to_dict(),
            "protocols": {row.protocol: row.to_dict() for row in rows},
            "decoding": self.decoding,
            "evaluation_batches": self.bounds,
            "too_long": self.too_long,
            "predictions": str(self.predictions),
        }

    def describe(self) -> str:
        """Return the scores for people."""
        missing = self.coverage.missing
        parts = [
            f"{self.name}: {count_clips(self.to_dict())}",
            describe_missing(missing) if missing else "",
            describe_rows(self.rows, missing=len(missing)),
            f"predictions {self.predictions}",
        ]
        return "\n\n".join(filter(None, parts))


def count_clips(content: Mapping[str, Any]) -> str:
    """Return how many clips of a split were scored, and why the others were not.

    Args:
        content: an entry of ``scores.json``.

    >>> count_clips({"count": 4, "clips": 4, "missing": {}, "trial": []})
    '4 clips'
    >>> count_clips({"count": 2, "clips": 4, "missing": {"a": "damaged"}, "trial": ["limit=2"]})
    '2 of 4 clips, 1 missing, a trial: limit=2'
    """
    count, clips = content["count"], content.get("clips", content["count"])
    parts = [f"{count} clips" if count == clips else f"{count} of {clips} clips"]
    parts += [f"{len(content['missing'])} missing"] if content.get("missing") else []
    parts += [f"a trial: {', '.join(content['trial'])}"] if content.get("trial") else []
    return ", ".join(parts)
