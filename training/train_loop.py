"""Train a model and choose the checkpoint to go on with."""

import time
from dataclasses import dataclass
from pathlib import Path

import torch
from transformers import TrainerState

from ..core.progress import say
from ..core.sample import Unreadable
from . import checkpoints
from .batches import BatchDataset
from .config import DecodingConfig, TrainingConfig
from .evaluation import EvaluationSet
from .model import TranslationModel
from .selection import best_evaluation, is_due, is_out_of_patience, warn_of_zeros
from .trainer import StageTrainer
from .workers import worker_errors


@dataclass(frozen=True, kw_only=True)
class TrainingResult:
    """What a training gave."""

    state: Path
    """The selected checkpoint's weights, safetensors as ``checkpoint_state`` names them."""
    epoch: int
    """The epoch after which that checkpoint was written."""
    best_bleu4: float | None
    """The best dev BLEU-4 (0-100), unrounded; None without a dev set."""
    unreadable: tuple[Unreadable, ...]
    """Clips that could not be read in training or on dev, before a resume too."""
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
        model: what is trained, in place.
        train: batches of the training split.
        dev: what is translated and scored to choose the best; without it the last checkpoint is selected.
        config: the settings.
        decoding: the search used on dev.
        run: the run directory; ``checkpoints/`` and ``log.jsonl`` in it are written.
        resume: go on from the last finished checkpoint, or from the start where there is none yet.
        seed: order of batches and dropout are drawn from it.
        device: where to train; under ``torchrun`` each process takes its own.
    """
    start = time.monotonic()
    trainer = StageTrainer(
        model, train=train, dev=dev, config=config, decoding=decoding, run=run, seed=seed, device=device
    )
    last = checkpoints.last_checkpoint(trainer.checkpoints) if resume else None
    _train(trainer, last)
    fitted = _selected(trainer, seconds=time.monotonic() - start)
    model.load_checkpoint_state(checkpoints.load_weights(fitted.state.parent))
    return fitted


def _train(trainer: StageTrainer, last: Path | None) -> None:
    state = _state_of(last) if last else None
    due = state is not None and is_due(state)
    if trainer.args.should_save:
        rows = trainer.journal.rewind(state.global_step if state else 0, evaluated=not due)
        trainer.unreadable.recall(rows)
    if last is not None and due:
        trainer.evaluate_checkpoint(last)
        state = _state_of(last)
    if state is not None and is_out_of_patience(state, trainer.config):
        say("The run has ended already: dev has not improved for training.patience_epochs epochs.")
        return
    try:
        with worker_errors(remedy="Run the same command with --resume."):
            trainer.train(resume_from_checkpoint=str(last) if last else None)
    finally:
        # Takes accelerate's autocast off the model's forward: the model goes on to other uses.
        trainer.accelerator.unwrap_model(trainer.model_wrapped, keep_fp32_wrapper=False)
        vars(trainer.model).pop("forward", None)


def _selected(trainer: StageTrainer, *, seconds: float) -> TrainingResult:
    last = checkpoints.last_checkpoint(trainer.checkpoints)
    assert last is not None  # the last epoch is always saved
    state = _state_of(last)
    epoch, folder, best = round(state.epoch or 0), last, best_evaluation(state)
    if trainer.args.should_save:
        warn_of_zeros(state)
    if trainer.config.select == "best" and best is not None:
        epoch = round(best["epoch"])
        folder = checkpoints.checkpoint_folder(trainer.checkpoints, best["step"])
    return TrainingResult(
        state=folder / checkpoints.WEIGHTS,
        epoch=epoch,
        best_bleu4=None if best is None else best["bleu4"],
        unreadable=trainer.unreadable.clips,
        seconds=seconds,
    )


def _state_of(checkpoint: Path) -> TrainerState:
    return TrainerState.load_from_json(str(checkpoint / checkpoints.STATE))
