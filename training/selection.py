"""Selection of the best checkpoint: highest dev BLEU-4, then highest chrF, then the latest.

The ``log_history`` of the trainer's state, in every checkpoint, holds the evaluations. An entry without
scores stands for an evaluation that was not finished.
"""

import logging
from typing import Any

from transformers import TrainerState

from .config import TrainingConfig

logger = logging.getLogger(__name__)

Evaluated = dict[str, Any]


def mark_due(state: TrainerState) -> None:
    """Add an entry without scores for this step, before its checkpoint is written."""
    _replace(state, {})


def is_due(state: TrainerState) -> bool:
    """Tell whether the evaluation of the last checkpoint was not finished."""
    history = state.log_history
    return bool(history) and history[-1]["step"] == state.global_step and "bleu4" not in history[-1]


def note_scores(state: TrainerState, scores: dict[str, float]) -> None:
    """Set the dev scores of this step, and update the best step."""
    _replace(state, {"bleu4": scores["bleu4"], "chrf": scores["chrf"]})
    best = best_evaluation(state)
    assert best is not None
    state.best_metric, state.best_global_step = best["bleu4"], best["step"]


def best_evaluation(state: TrainerState) -> Evaluated | None:
    """Return ``step``, ``epoch``, ``bleu4`` and ``chrf`` of the best evaluation, or None."""
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
    scored = _scored(state)
    if scored and not any(entry["bleu4"] for entry in scored):
        logger.warning(
            f"warning: dev BLEU-4 was 0 at all {len(scored)} evaluations: chrF tells the checkpoints apart.\n"
            "Train for more epochs, or look at predictions-dev.jsonl."
        )


def _scored(state: TrainerState) -> list[Evaluated]:
    return [entry for entry in state.log_history if "bleu4" in entry]


def _quality(entry: Evaluated) -> tuple[float, float]:
    return entry["bleu4"], entry["chrf"]


def _replace(state: TrainerState, scores: dict[str, float]) -> None:
    earlier = [entry for entry in state.log_history if entry["step"] != state.global_step]
    state.log_history = [*earlier, {"step": state.global_step, "epoch": state.epoch or 0.0, **scores}]
