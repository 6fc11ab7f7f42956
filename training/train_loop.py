"""Training of a model, and selection of a checkpoint."""

import logging
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from transformers import TrainerState

from ..core.sample import Unreadable
from ..core.weights import read_tensors
from . import checkpoints
from .batches import BatchDataset
from .config import DecodingConfig, TrainingConfig
from .evaluation import EvaluationSet
from .model import TranslationModel
from .processes import gather_all
from .selection import best_evaluation, decisive_scores, is_due, is_out_of_patience, warn_of_zeros
from .trainer import StageTrainer
from .workers import no_worker_left, worker_errors

logger = logging.getLogger(__name__)


@dataclass(frozen=True, kw_only=True)
class TrainingResult:
    """Result of a training."""

    state: Path
    """Weights of the selected checkpoint, safetensors with the names of ``checkpoint_state``."""
    epoch: int
    """Epoch of the selected checkpoint."""
    best_bleu4: float | None
    """Best dev BLEU-4 (0-100, unrounded). None: no dev set, or no translations in dev."""
    best_scores: dict[str, float]
    """Dev scores that selected the checkpoint, by name. Empty: no dev set."""
    unreadable: tuple[Unreadable, ...]
    """Clips that were unreadable in training or on dev, before a resume too."""
    seconds: float
    """Wall time of this call's training, evaluations included."""


def fit(
    model: TranslationModel,
    *,
    train: BatchDataset,
    dev: EvaluationSet | None,
    config: TrainingConfig,
    decoding: DecodingConfig,
    run: Path,
    resume: bool,
    seed: int,
    device: torch.device,
) -> TrainingResult:
    """Train ``model`` and load the selected checkpoint into it.

    Args:
        model: the model, trained in place.
        train: batches of the training split.
        dev: clips to translate and score at each evaluation. None: the last checkpoint is selected.
        config: settings of the training.
        decoding: search on dev.
        run: run directory, in which ``checkpoints/`` and ``log.jsonl`` are written.
        resume: continue from the last finished checkpoint, or start if there is none.
        seed: seed of the order of batches and of dropout.
        device: device of the training. Under ``torchrun`` each process has its own device.
    """
    start = time.monotonic()
    trainer = StageTrainer(
        model, train=train, dev=dev, config=config, decoding=decoding, run=run, seed=seed, device=device
    )
    last = checkpoints.last_checkpoint(trainer.checkpoints) if resume else None
    _train(trainer, last)
    fitted = _selected(trainer, seconds=time.monotonic() - start)
    model.load_checkpoint_state(read_tensors(fitted.state))
    return fitted


def _train(trainer: StageTrainer, last: Path | None) -> None:
    state = _state_of(last) if last else None
    # A checkpoint is written before its evaluation. A kill between the two leaves the evaluation to do here.
    due = state is not None and is_due(state)
    rows: list[dict[str, Any]] = []
    if trainer.args.should_save:
        rows = trainer.journal.rewind(state.global_step if state else 0, evaluated=not due)
    trainer.unreadable.recall(gather_all(rows))  # all processes report the same clips at the end
    if last is not None and due:
        trainer.evaluate_checkpoint(last)
        state = _state_of(last)
    if state is not None and is_out_of_patience(state, trainer.config):
        logger.info("The run has ended already: dev has not improved for training.patience_epochs epochs.")
        return
    try:
        with no_worker_left(), worker_errors(remedy="Run the same command with --resume."):
            trainer.train(resume_from_checkpoint=str(last) if last else None)
    finally:
        # The model has further uses after the training: accelerate's autocast must not stay on its forward.
        trainer.accelerator.unwrap_model(trainer.model_wrapped, keep_fp32_wrapper=False)
        vars(trainer.model).pop("forward", None)


def _selected(trainer: StageTrainer, *, seconds: float) -> TrainingResult:
    last = checkpoints.last_checkpoint(trainer.checkpoints)
    assert last is not None  # the schedule always saves the last epoch
    state = _state_of(last)
    epoch, folder, best = round(state.epoch or 0), last, best_evaluation(state)
    if trainer.args.should_save:
        warn_of_zeros(state)
    if trainer.config.select == "best" and best is not None:
        epoch = round(best["epoch"])
        folder = checkpoints.checkpoint_folder(trainer.checkpoints, best["step"])
    return TrainingResult(
        state=checkpoints.selected_file(folder),
        epoch=epoch,
        best_bleu4=None if best is None else best.get("bleu4"),
        best_scores={} if best is None else decisive_scores(best),
        unreadable=trainer.unreadable.clips,
        seconds=seconds,
    )


def _state_of(checkpoint: Path) -> TrainerState:
    return TrainerState.load_from_json(str(checkpoint / checkpoints.STATE))
