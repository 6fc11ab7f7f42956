"""Data of an evaluation: request, coverage of the split, scores."""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

from ..core.missing import Missing, describe_missing
from ..core.sample import Split, Task, Unreadable
from ..finetune.store import EvaluationBounds
from ..scoring.candidates import CandidateScores, Choice
from ..scoring.protocols import DEFAULT_PROTOCOL
from ..scoring.score import Scores
from ..scoring.scorecard import ProtocolScores, describe_rows
from ..scoring.task_scores import TaskScores, describe_task_scores

Decoding = tuple[str | None, tuple[str, ...]]
"""Values of ``--config`` and ``--set`` for the search, which override the settings of the run."""


@dataclass(frozen=True, kw_only=True)
class Request:
    """Request of an evaluation, for a run of either stage."""

    split: Split = "test"
    shuffle_features: bool = False
    """Whether each clip gets the features of a clip of the same task with a different sentence."""
    decoding: Decoding = (None, ())
    limit: int | None = None
    seed: int = 0
    """Seed of the shuffle, and of drawn candidates."""
    device: str = "auto"
    protocol: str = DEFAULT_PROTOCOL
    """Name of a scoring protocol, or ``all``."""
    n_best: int | None = None
    """Stage two: number of hypotheses to write for each clip, with scores. None: only the best."""
    choose: Choice = "best"
    """Choice among the hypotheses of a clip. No choice reads a reference."""
    llm: str | None = None
    """Stage two: present path of the language model. None: the path at tuning."""
    phase: int = 0
    """Stage one: index of the first kept frame in each ``stride``."""


@dataclass(frozen=True, kw_only=True)
class Coverage:
    """Clips of a split, with the clips that cannot be scored."""

    clips: int
    """Number of clips of the split in the cache or manifest: scored, missing or beyond a limit."""
    missing: Missing
    corpora: Sequence[str]
    """Names of the corpora of the clips, sorted."""
    trained_on: Sequence[str]
    """Names of the training corpora, sorted. Empty: the run has no record."""

    def without(self, unreadable: Sequence[Unreadable]) -> "Coverage":
        """Return the coverage with further missing clips."""
        return replace(self, missing={**self.missing, **{clip.id: clip.reason for clip in unreadable}})


@dataclass(frozen=True, kw_only=True)
class Evaluation:
    """Scores of a split, and the file of the sentences."""

    request: Request
    name: str
    """Key in ``scores.json`` and part of the file name of the predictions."""
    trial: Sequence[str]
    """Settings that differ from the run's settings. Empty: a full result."""
    coverage: Coverage
    rows: list[ProtocolScores]
    """Scores of translations: rows of the requested protocols. The first row has scores. Empty: no clip of
    the split is translated."""
    earlier_rows: list[ProtocolScores]
    """Rows of other protocols under this name in ``scores.json``."""
    task_scores: Mapping[Task, TaskScores]
    """Scores of the tasks other than ``translate`` that the split has."""
    decoding: dict[str, Any]
    bounds: EvaluationBounds | None
    """Stage two: limits of the translated batches. Stage one: None."""
    predictions: Path
    candidates: CandidateScores | None
    """Diversity of the hypotheses and their oracle, under the first protocol. None: no ``n_best``."""
    too_long: int | None
    """Stage two: number of references with more tokens than ``max_new_tokens``. Stage one: None."""

    @property
    def scores(self) -> Scores:
        """The scores of the translations under the first protocol. The split must have translations."""
        return self.rows[0].own[0][1]

    def to_dict(self) -> dict[str, Any]:
        """Return the content for ``--json``, with the figures of the first protocol at the top level."""
        return self._content(self.rows)

    def to_record(self) -> dict[str, Any]:
        """Return the entry for ``scores.json``: all protocols, with the default protocol first if scored."""
        # Another protocol over the same sentences adds rows. The figures at the top level must stay.
        scored = sorted(
            [*self.rows, *self.earlier_rows],
            key=lambda row: (row.refused is not None, row.protocol != DEFAULT_PROTOCOL),
        )
        return self._content(scored)

    def _content(self, rows: Sequence[ProtocolScores]) -> dict[str, Any]:
        coverage = self.coverage
        translated = rows[0].own[0][1].to_dict() if rows else {}
        tasks = {task: scores.to_dict() for task, scores in self.task_scores.items()}
        return {
            "name": self.name,
            "split": self.request.split,
            "shuffled": self.request.shuffle_features,
            "phase": self.request.phase,
            "trial": list(self.trial),
            "clips": coverage.clips,
            "missing": dict(coverage.missing),
            "corpora": list(coverage.corpora),
            **translated,
            # All clips with a score, of any task: clips = count + missing.
            "count": sum(scores["count"] for scores in (translated, *tasks.values()) if scores),
            "protocols": {row.protocol: row.to_dict() for row in rows},
            **({"tasks": tasks} if tasks else {}),
            **({} if self.candidates is None else {"candidates": asdict(self.candidates)}),
            "decoding": self.decoding,
            "evaluation_batches": self.bounds,
            "too_long": self.too_long,
            "predictions": str(self.predictions),
        }

    def describe(self) -> str:
        """Return the scores as text for people."""
        missing = self.coverage.missing
        parts = [
            f"{self.name}: {count_clips(self.to_dict())}",
            describe_missing(missing) if missing else "",
            describe_rows(self.rows, missing=len(missing)) if self.rows else "",
            describe_task_scores(self.task_scores, missing=len(missing)),
            "" if self.candidates is None else describe_candidates(self.candidates),
            f"predictions {self.predictions}\non a page    fla report {self.predictions.parent}",
        ]
        return "\n\n".join(filter(None, parts))


def describe_candidates(scores: CandidateScores) -> str:
    """Return the diversity of candidates as text for people."""
    values = asdict(scores)
    protocol = values.pop("protocol")
    figures = "   ".join(f"{name} {value:.2f}" for name, value in values.items())
    return f"of all candidates, by {protocol} (the oracle reads the references)\n{figures}"


def count_clips(content: Mapping[str, Any]) -> str:
    """Return the number of scored clips of a split, and the reasons for the other clips.

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
