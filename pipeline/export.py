"""A stage-two run exported, scored again where a cache is given, and described in a model card."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ..core.device import Precision
from ..finetune.export import ExportResult, export_run
from .card import write_card
from .evaluate import evaluate_stage_two
from .evaluation import Evaluation, Request
from .results import read_scores


@dataclass(frozen=True, kw_only=True)
class ExportedAndScored:
    """What ``fla export`` wrote, and how it scores."""

    exported: ExportResult
    card: Path
    evaluation: Evaluation | None
    """None where no cache was given."""

    def to_dict(self) -> dict[str, Any]:
        """Return plain values, as JSON has them."""
        scores = None if self.evaluation is None else self.evaluation.to_dict()
        return {**self.exported.to_dict(), "card": str(self.card), "scores": scores}

    def describe(self) -> str:
        """Return the result for people."""
        how = "merged" if self.exported.merged else "with its adapters"
        first = f"{self.exported.out}: {how}, {self.exported.size_bytes / 1e6:.1f} MB\nmodel card {self.card}"
        return first if self.evaluation is None else f"{first}\n\n{self.evaluation.describe()}"


def export(
    run: Path,
    out: Path,
    *,
    merge: bool,
    precision: Precision = "auto",
    llm: str | None = None,
    features: Path | None = None,
    request: Request,
) -> ExportedAndScored:
    """Export a run; the arguments are those of :func:`.export_run`.

    Args:
        run: a finished stage-two run.
        out: a new or empty folder.
        merge: add the adapters into the unquantised base model.
        precision: of a merged model's weights.
        llm: where the base model lies now, if it was moved.
        features: a cache on which to score what was exported.
        request: which split of it, and the device.
    """
    exported = export_run(run, out, merge=merge, precision=precision, llm=llm, device=request.device)
    before = read_scores(run)
    # The copy names where its language model lies, and a merged one holds it.
    evaluation = None if features is None else evaluate_stage_two(out, features, request=request)
    return ExportedAndScored(
        exported=exported, card=write_card(out, run_scores=before), evaluation=evaluation
    )
