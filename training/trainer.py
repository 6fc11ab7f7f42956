"""Subclass of transformers' Trainer for both stages.

The Trainer does accumulation, clipping, mixed precision, schedules, resuming and several processes. This
class changes parameter groups, checkpoints, evaluation by generation and the log.
"""

import shutil
import sys
import time
from collections.abc import Iterator
from contextlib import AbstractContextManager, nullcontext
from functools import partial
from pathlib import Path
from typing import Any

import torch
from torch import Tensor
from torch.utils.data import DataLoader, Sampler
from transformers import Trainer, TrainerState
from transformers.trainer_callback import DefaultFlowCallback, PrinterCallback

from ..core.device import resolve_dtype
from ..core.errors import RunError
from . import checkpoints, selection
from .arguments import training_arguments, without_config
from .batches import DUMMY, UNREADABLE, BatchDataset, EpochOrder
from .config import DecodingConfig, TrainingConfig
from .evaluation import EvaluationSet, first_examples, mean_scores, predict
from .evaluation_schedule import EvaluationSchedule
from .log import TrainingLog
from .model import IGNORED, TranslationModel
from .oom_retry import OomRetry
from .optimisers import group_rates, make_optimiser
from .pace import Pace
from .processes import begin_worker, share_buffers
from .tracking import flat_row, prepare_trackers
from .unreadable_clips import UnreadableClips
from .update_norms import UpdateNorms
from .weight_average import WeightAverage


class StageTrainer(Trainer):
    """Trainer of a :class:`TranslationModel` on whole batches. Keeps the best and the last checkpoint."""

    model: TranslationModel

    def __init__(
        self,
        model: TranslationModel,
        *,
        train: BatchDataset,
        dev: EvaluationSet | None,
        config: TrainingConfig,
        decoding: DecodingConfig,
        run: Path,
        seed: int,
        device: torch.device,
    ) -> None:
        """Prepare a run in the folder ``run``. For the arguments see :func:`.train_loop.fit`."""
        self.config, self.decoding, self.order_seed = config, decoding, seed
        self.batches, self.dev, self.unreadable = train, dev, UnreadableClips()
        self.checkpoints = run / "checkpoints"
        self.journal, self.pace = TrainingLog(run / "log.jsonl"), Pace(model.waiting_remedy)
        self.norms = UpdateNorms(model, every_steps=config.log_every_steps)
        self.rates: dict[str, float] = {}
        arguments = training_arguments(config, checkpoints=self.checkpoints, seed=seed, device=device)
        self.evaluation_schedule = EvaluationSchedule(config, has_dev=dev is not None)
        with without_config(model):
            super().__init__(
                model,
                arguments,
                data_collator=_only,
                train_dataset=train,
                callbacks=[self.evaluation_schedule, self.norms],
            )
        self.oom_retry = OomRetry(model, processes=self.args.world_size)
        self.average = WeightAverage(model, decay=config.ema_decay) if config.ema_decay is not None else None
        if self.average is not None:
            self.add_callback(self.average)
        self.remove_callback(DefaultFlowCallback)
        self.remove_callback(PrinterCallback)
        prepare_trackers(self.callback_handler, run)

    def _get_train_sampler(self, train_dataset: Any = None) -> Sampler[int]:
        return EpochOrder(
            self.batches,
            seed=self.order_seed,
            processes=self.args.world_size,
            draws_for_loader=self.config.workers > 0,
        )

    def _get_num_items_in_batch(self, batch_samples: list[dict[str, Any]], device: Any) -> Any:
        """Count the labels of a step in all processes, without the labels of dummy batches."""
        counted = [
            batch | {"labels": torch.full_like(batch["labels"], IGNORED)} if DUMMY in batch else batch
            for batch in batch_samples
        ]
        count: Any = super()._get_num_items_in_batch(counted, device)
        return (
            None if count is None else count.clamp(min=1)
        )  # no division by 0 if all batches of the step are dummies

    def get_batch_samples(
        self, epoch_iterator: Iterator[Any], num_batches: int, device: torch.device
    ) -> tuple[list[Any], Any]:
        """Return the batches of a step, and measure the time that this takes."""
        with self.pace.waiting():
            batches, count = super().get_batch_samples(epoch_iterator, num_batches, device)
        self.pace.count({"steps": int(self.args.process_index == 0)})
        for batch in batches:
            if DUMMY not in batch:
                self.pace.count(self.model.count_work(batch))
        return batches, count

    def compute_loss(self, model: Any, inputs: dict[str, Any], *arguments: Any, **settings: Any) -> Any:
        """Return the loss of a batch, multiplied by 0 for a dummy batch."""
        is_dummy = inputs.pop(DUMMY, False)
        loss: Any = super().compute_loss(model, inputs, *arguments, **settings)
        # Not a constant 0: with several processes, torch waits for a gradient of every parameter.
        return loss * 0.0 if is_dummy else loss

    def create_optimizer(self, model: Any = None) -> torch.optim.Optimizer:
        """Build the optimiser over the parameter groups of the model."""
        if self.optimizer is None:
            self.optimizer = make_optimiser(self.model.parameter_groups(), self.config)
        return self.optimizer

    def training_step(self, model: Any, inputs: dict[str, Any], num_items_in_batch: Any = None) -> Tensor:
        """Run forward and backward of a batch, in halves after out of memory."""
        known = self.oom_retry.limit
        self.unreadable.add(inputs.pop(UNREADABLE, ()))
        loss = self.oom_retry.run(
            partial(super().training_step, model, num_items_in_batch=num_items_in_batch), inputs
        )
        if self.oom_retry.limit != known:
            self._write({f"memory_limit_{self.model.unit}": self.oom_retry.limit})
        return loss

    def get_train_dataloader(self) -> DataLoader:
        """Return the loader of training batches."""
        loader: Any = super().get_train_dataloader()
        inner: Any = loader.base_dataloader  # accelerate's wrapper ignores what is set on the wrapper
        inner.worker_init_fn = begin_worker  # no seed here: random choices are drawn from (seed, epoch, id)
        if self.config.workers > 0:
            inner.generator = torch.Generator()  # EpochOrder draws from the global stream in its place
        return loader

    def _get_grad_norm(self, model: Any, grad_norm: Any = None) -> Any:
        norm: Any = super()._get_grad_norm(model, grad_norm=grad_norm)
        self.norms.total = norm  # here alone the norm of the whole model is at hand
        return norm

    def _maybe_log_save_evaluate(self, *arguments: Any, **settings: Any) -> None:
        with self.pace.paused():
            super()._maybe_log_save_evaluate(*arguments, **settings)

    def _get_learning_rate(self) -> float:
        self.rates = group_rates(self.optimizer)  # the rates of this step, before the schedule changes them
        return super()._get_learning_rate()

    def log(self, logs: dict[str, float], start_time: float | None = None) -> None:
        """Append loss, rates, norms and speed to the log. The last summary of the Trainer is not logged."""
        row: dict[str, Any] = {}
        if "loss" in logs:
            row = {"loss": logs["loss"], "lr": self.rates, "grad_norm": logs.get("grad_norm")}
            row |= self.norms.row | {"speed": self.pace.row()}
            self._write(row)
            if self.evaluation_schedule.bar is not None:
                self.evaluation_schedule.bar.set_postfix(loss=f"{logs['loss']:.3f}", refresh=False)
        told = flat_row(logs | row)
        self.control = self.callback_handler.on_log(self.args, self.state, self.control, told)

    def evaluate(
        self, eval_dataset: Any = None, ignore_keys: list[str] | None = None, metric_key_prefix: str = "eval"
    ) -> dict[str, float]:
        """Save the due checkpoint, then translate and score dev."""
        assert self.dev is not None  # the schedule requests no evaluation without a dev set
        if self.control.should_save:  # before the evaluation, which may fail
            selection.mark_due(self.state)
            self._save_checkpoint(None, None)
            self.control = self.callback_handler.on_save(self.args, self.state, self.control)
            self.control.should_save = False
        start = time.monotonic()
        with self._selected_weights():
            share_buffers(self.model)
            translations = predict(
                self.model,
                self.dev,
                decoding=self.decoding,
                device=self.args.device,
                dtype=resolve_dtype(self.config.precision, self.args.device),
                desc=f"dev, epoch {self.state.epoch:.0f}" if sys.stderr.isatty() else None,
                workers=self.config.workers,
            )
        self.unreadable.add(translations.unreadable)
        self._log_unreadable()
        scores = mean_scores(translations)
        seconds = round(time.monotonic() - start, 2)
        self._write({"dev": scores, "examples": first_examples(translations), "seconds": seconds})
        metrics = {f"{metric_key_prefix}_{name}": value for name, value in scores.items()}
        # Trackers read on_log only, not on_evaluate.
        self.control = self.callback_handler.on_log(self.args, self.state, self.control, metrics)
        self.control = self.callback_handler.on_evaluate(self.args, self.state, self.control, metrics)
        selection.note_scores(self.state, scores)
        return metrics

    def _selected_weights(self) -> AbstractContextManager[None]:
        """Give the model the averaged weights inside the block, if there is an average."""
        return nullcontext() if self.average is None else self.average.applied()

    def evaluate_checkpoint(self, folder: Path) -> None:
        """Do the evaluation of a checkpoint that an interrupted run did not finish."""
        self._load_from_checkpoint(str(folder))
        self.state = TrainerState.load_from_json(str(folder / checkpoints.STATE))
        self._determine_best_metric(self.evaluate(), None)

    def _determine_best_metric(self, metrics: dict[str, float], trial: Any) -> bool:
        """Request saving of a best or last checkpoint, or write the scores into a saved checkpoint."""
        is_best = self.state.best_global_step == self.state.global_step
        self.control.should_training_stop |= selection.is_out_of_patience(self.state, self.config)
        folder = checkpoints.checkpoint_folder(self.checkpoints, self.state.global_step)
        if not folder.is_dir():
            self.control.should_save = is_best or self.control.should_training_stop
        elif self.args.should_save:
            checkpoints.replace_state(folder, self.state)
            self._keep_best_and_last()
        return is_best

    def _save_checkpoint(self, model: Any, trial: Any) -> None:
        """Write a checkpoint under a temporary name, rename the folder, then remove older checkpoints."""
        self._log_unreadable()
        folder = checkpoints.partial_folder(self.checkpoints, self.state.global_step)
        if self.args.should_save:
            shutil.rmtree(folder, ignore_errors=True)
            folder.mkdir(parents=True)
        self.accelerator.wait_for_everyone()
        self._save_optimizer_and_scheduler(str(folder))
        self._save_scaler(str(folder))
        self._save_rng_state(str(folder))
        if self.args.should_save:
            self._save(str(folder))
            self.state.save_to_json(str(folder / checkpoints.STATE))
            self.oom_retry.save(folder)
        self.accelerator.wait_for_everyone()
        if self.args.should_save:
            checkpoints.finish(folder)
            self._keep_best_and_last()
        self.accelerator.wait_for_everyone()

    def _keep_best_and_last(self) -> None:
        kept = {self.state.global_step, self.state.best_global_step or self.state.global_step}
        checkpoints.keep_only(self.checkpoints, kept)

    def _log_unreadable(self) -> None:
        if (row := self.unreadable.note()) is not None:
            self._write(row)

    def _save(self, output_dir: str | None = None, state_dict: Any = None) -> None:
        folder = Path(output_dir or self.checkpoints)
        checkpoints.save_weights(self.model.checkpoint_state(), folder)
        if self.average is not None:
            self.average.save(folder)

    def _load_from_checkpoint(self, resume_from_checkpoint: str, model: Any = None) -> None:
        folder = Path(resume_from_checkpoint)
        processes = len(list(folder.glob("rng_state*.pth")))
        if processes != self.args.world_size:
            raise RunError(
                f"{folder} must be resumed by {processes} process(es), as it was written, "
                f"but there are {self.args.world_size}.\nStart torchrun with --nproc-per-node {processes}."
            )
        self.model.load_checkpoint_state(checkpoints.load_weights(folder))
        if self.average is not None:
            self.average.load(folder)
        self.oom_retry.load(folder)

    def _load_optimizer_and_scheduler(self, checkpoint: str | None) -> None:
        """Load optimiser and schedule, but keep the rates and decays of the current settings."""
        assert self.optimizer is not None
        # --allow-config-change may change rates on purpose. The checkpoint would restore the former rates.
        own = [(group["initial_lr"], group["weight_decay"]) for group in self.optimizer.param_groups]
        super()._load_optimizer_and_scheduler(checkpoint)
        if checkpoint is None:
            return
        schedule: Any = self.lr_scheduler
        schedule.base_lrs = [rate for rate, _ in own]
        for group, (rate, decay), share in zip(
            self.optimizer.param_groups, own, schedule.lr_lambdas, strict=True
        ):
            group.update(initial_lr=rate, lr=rate * share(schedule.last_epoch), weight_decay=decay)

    def _write(self, row: dict[str, Any]) -> None:
        if self.args.should_save:
            place = {"step": self.state.global_step, "epoch": round(self.state.epoch or 0, 3)}
            self.journal.write(place | row)


def _only(batches: list[dict[str, Any]]) -> dict[str, Any]:
    """Return the only item, which is a whole batch."""
    return batches[0]
