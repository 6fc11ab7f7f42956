"""Train a model and choose the checkpoint to go on with."""

import time
from dataclasses import dataclass
from pathlib import Path

import torch
from transformers import TrainerState

from ..core.progress import say
from . import checkpoints
from .batches import BatchDataset
from .config import DecodingConfig, TrainingConfig
from .evaluation import EvaluationSet
from .model import TranslationModel
from .rhythm import best_epoch, is_out_of_patience
from .trainer import StageTrainer


@dataclass(frozen=True, kw_only=True)
class Fitted:
    """What a training gave."""

    state: Path
    """The selected checkpoint's weights, safetensors as ``checkpoint_state`` names them."""
    epoch: int
    """The epoch after which that checkpoint was written."""
    best_bleu4: float | None
    """The best dev BLEU-4 (0-100); None without a dev set."""
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
) -> Fitted:
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
    state = TrainerState.load_from_json(str(last / checkpoints.STATE)) if last else None
    if state is not None and is_out_of_patience(state, trainer.config):
        say("The run has ended already: dev has not improved for training.patience_epochs epochs.")
        return
    if trainer.args.should_save:
        trainer.journal.rewind(state.global_step if state else 0)
    try:
        trainer.train(resume_from_checkpoint=str(last) if last else None)
    finally:
        # Takes accelerate's autocast off the model's forward: the model goes on to other uses.
        trainer.accelerator.unwrap_model(trainer.model_wrapped, keep_fp32_wrapper=False)
        vars(trainer.model).pop("forward", None)


def _selected(trainer: StageTrainer, *, seconds: float) -> Fitted:
    last = checkpoints.last_checkpoint(trainer.checkpoints)
    assert last is not None  # the last epoch is always saved
    state = TrainerState.load_from_json(str(last / checkpoints.STATE))
    epoch, folder = round(state.epoch), last
    best = best_epoch(state)
    if trainer.config.select == "best" and best is not None and state.best_global_step is not None:
        epoch = best
        folder = checkpoints.checkpoint_folder(trainer.checkpoints, state.best_global_step)
    return Fitted(
        state=folder / checkpoints.WEIGHTS, epoch=epoch, best_bleu4=state.best_metric, seconds=seconds
    )
