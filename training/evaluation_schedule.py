"""Schedule of logging, evaluation and saving, and the progress bar of a training."""

from typing import Any

from transformers import TrainerCallback, TrainerControl, TrainerState, TrainingArguments

from ..core.progress import progress
from .config import TrainingConfig


class EvaluationSchedule(TrainerCallback):
    """Callback in place of transformers' flow and printing callbacks."""

    def __init__(self, config: TrainingConfig, *, has_dev: bool) -> None:
        """Follow ``config``. Without a dev set nothing is evaluated."""
        self.config = config
        self.has_dev = has_dev
        self.bar: Any = None

    def on_train_begin(
        self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **kwargs: Any
    ) -> None:
        """Open the progress bar at the current step."""
        if state.is_world_process_zero:
            self.bar = progress(desc="training", total=state.max_steps, unit="step")
            self.bar.initial = self.bar.n = state.global_step

    def on_step_end(
        self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **kwargs: Any
    ) -> None:
        """Request logging and saving inside an epoch."""
        # on_epoch_end decides about the end of an epoch.
        inside = not float(state.epoch or 0).is_integer()
        every = self.config.save_every_steps
        control.should_log = state.global_step % self.config.log_every_steps == 0
        control.should_save = inside and every is not None and state.global_step % every == 0
        if self.bar is not None:
            self.bar.update()

    def on_epoch_end(
        self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **kwargs: Any
    ) -> None:
        """Request logging, and evaluation and saving at their epochs."""
        config, epoch = self.config, round(state.epoch or 0)
        last = epoch >= config.epochs
        since = epoch - config.evaluate_from_epoch
        control.should_log = True
        control.should_evaluate = self.has_dev and (
            last or (since >= 0 and since % config.evaluate_every_epochs == 0)
        )
        control.should_save = last or epoch % config.save_every_epochs == 0

    def on_train_end(
        self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **kwargs: Any
    ) -> None:
        """Close the bar."""
        if self.bar is not None:
            self.bar.close()
