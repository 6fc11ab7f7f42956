"""Selection of the best checkpoint: highest dev BLEU-4, then highest chrF, then the latest.

Where no clip of dev is translated, glosses decide: lowest word error rate, then most exact matches. Where all
clips of dev are single signs, top-1 per instance decides, then top-1 per class.

The ``log_history`` of the trainer's state, in every checkpoint, holds the evaluations. An entry without
scores stands for an evaluation that was not finished.
"""

import logging
from collections.abc import Mapping
from typing import Any

from transformers import TrainerState

from .config import TrainingConfig

logger = logging.getLogger(__name__)

Evaluated = dict[str, Any]
DECISIVE = (
    ("bleu4", "chrf"),
    ("recognise/wer", "recognise/exact_match"),
    ("isolated/top1", "isolated/top1_per_class"),
)
"""Dev scores that decide, the first pair that dev has."""
LOWER_IS_BETTER = "recognise/wer"


def mark_due(state: TrainerState) -> None:
    """Add an entry without scores for this step, before its checkpoint is written."""
    _replace(state, {})


def is_due(state: TrainerState) -> bool:
    """Tell whether the evaluation of the last checkpoint was not finished."""
    history = state.log_history
    return bool(history) and history[-1]["step"] == state.global_step and not _decisive(history[-1])


def note_scores(state: TrainerState, scores: dict[str, float]) -> None:
    """Set the dev scores of this step, and update the best step."""
    _replace(state, {name: scores[name] for name in _decisive(scores)})
    best = best_evaluation(state)
    assert best is not None
    state.best_metric, state.best_global_step = best[_decisive(best)[0]], best["step"]


def decisive_scores(entry: Evaluated) -> dict[str, float]:
    """Return the scores by which an evaluation is compared with others, by name."""
    return {name: entry[name] for name in _decisive(entry)}


def best_evaluation(state: TrainerState) -> Evaluated | None:
    """Return ``step``, ``epoch`` and the decisive scores of the best evaluation, or None."""
    return max(_scored(state), key=lambda entry: (*_quality(entry), entry["step"]), default=None)


def is_out_of_patience(state: TrainerState, config: TrainingConfig) -> bool:
    """Tell whether ``patience_epochs`` have passed without a better dev score."""
    # An equal score is no progress: patience counts from the first checkpoint with the best score.
    first = max(_scored(state), key=lambda entry: (*_quality(entry), -entry["step"]), default=None)
    return (
        config.patience_epochs is not None
        and first is not None
        and round(state.epoch or 0) - round(first["epoch"]) >= config.patience_epochs
    )


def warn_of_zeros(state: TrainerState) -> None:
    """Print a warning if dev BLEU-4 was 0 at every evaluation."""
    scored = [entry for entry in _scored(state) if "bleu4" in entry]
    if scored and not any(entry["bleu4"] for entry in scored):
        logger.warning(
            f"warning: dev BLEU-4 was 0 at all {len(scored)} evaluations: chrF tells the checkpoints apart.\n"
            "Train for more epochs, or look at predictions-dev.jsonl."
        )


def _scored(state: TrainerState) -> list[Evaluated]:
    return [entry for entry in state.log_history if _decisive(entry)]


def _decisive(scores: Mapping[str, float]) -> tuple[str, ...]:
    """Return the names of the scores that decide, none for an evaluation that was not finished."""
    return next((names for names in DECISIVE if names[0] in scores), ())


def _quality(entry: Evaluated) -> list[float]:
    """Return numbers of which higher is better."""
    return [-entry[name] if name == LOWER_IS_BETTER else entry[name] for name in _decisive(entry)]


def _replace(state: TrainerState, scores: dict[str, float]) -> None:
    earlier = [entry for entry in state.log_history if entry["step"] != state.global_step]
    state.log_history = [*earlier, {"step": state.global_step, "epoch": state.epoch or 0.0, **scores}]
