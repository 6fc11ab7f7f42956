"""Export of a stage-two run, with scores on a cache and a model card."""

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
    """Result of ``fla export``: files, model card, scores."""

    exported: ExportResult
    card: Path
    evaluation: Evaluation | None
    """Scores of the export. None: no cache was given."""

    def to_dict(self) -> dict[str, Any]:
        """Return values for JSON."""
        scores = None if self.evaluation is None else self.evaluation.to_dict()
        return {**self.exported.to_dict(), "card": str(self.card), "scores": scores}

    def describe(self) -> str:
        """Return the result as text for people."""
        how = "merged" if self.exported.merged else "with its adapters"
        # Megabytes as in file managers and on the hub: 10**6 bytes.
        first = f"{self.exported.out}: {how}, {self.exported.size_bytes / 1e6:.1f} MB\nmodel card {self.card}"
        return first if self.evaluation is None else f"{first}\n\n{self.evaluation.describe()}"


def export(
    run: Path,
    out: Path,
    *,
    merge: bool,
    precision: Precision = "auto",
    llm: str | None = None,
    ckpt: Path | None = None,
    with_llm: bool = False,
    features: Path | None = None,
    request: Request,
) -> ExportedAndScored:
    """Export a run with :func:`.export_run`, score the export, and write the model card.

    Args:
        run: a finished stage-two run.
        out: a new or empty folder.
        merge: whether to add the adapters to the weights of the unquantised base model.
        precision: number format of the merged weights.
        llm: present path of the base model, if the model was moved.
        ckpt: the encoder of the run's features, to copy. None: the export has no encoder.
        with_llm: whether to copy the base model.
        features: a cache to score the export on. None: no scores.
        request: split of the cache, and device.
    """
    exported = export_run(
        run, out, merge=merge, precision=precision, llm=llm, ckpt=ckpt, with_llm=with_llm,
        device=request.device,
    )  # fmt: skip
    # The card shows the scores of the run beside the scores of the export.
    before = read_scores(run)
    # Merging into an unquantised base changes the scores: the export is scored, not the run. No llm here: the
    # export has the path of the language model, or holds the merged model.
    evaluation = None if features is None else evaluate_stage_two(out, features, request=request)
    return ExportedAndScored(
        exported=exported, card=write_card(out, run_scores=before), evaluation=evaluation
    )
