"""Time of an epoch of ``fla tune``, from the request of the first batch to the end of the last step.

Building the optimiser and writing the checkpoint are not counted.
"""

import tempfile
import time
from functools import partial
from pathlib import Path
from typing import Any
from unittest.mock import patch

import torch
from transformers import TrainerCallback, set_seed

from fla_llm.finetune.model import StageTwoModel
from fla_llm.training import train_loop
from fla_llm.training.batches import BatchDataset
from fla_llm.training.trainer import StageTrainer


class TimedBatches(BatchDataset):
    """Batches made in the main process. ``seconds`` is the waiting time of the training."""

    seconds = 0.0

    def __getitem__(self, index: int) -> dict[str, Any]:
        begin = time.perf_counter()
        batch = super().__getitem__(index)
        self.seconds += time.perf_counter() - begin
        return batch


class Clock(TrainerCallback):
    """Clock of the epochs of a Trainer. Sets the seed of dropout again at the first step."""

    def __init__(self, device: torch.device, *, seed: int) -> None:
        self.device, self.seed = device, seed
        self.seconds = 0.0

    def on_epoch_begin(self, *_args: Any, **_kwargs: Any) -> None:
        self.seconds -= now(self.device)

    def on_step_begin(self, _args: Any, state: Any, *_others: Any, **_kwargs: Any) -> None:
        if state.global_step == 0:
            set_seed(self.seed)

    def on_epoch_end(self, *_args: Any, **_kwargs: Any) -> None:
        self.seconds += now(self.device)


def now(device: torch.device) -> float:
    """Wait for the device, and return the time in seconds."""
    if device.type == "cuda":
        torch.cuda.synchronize(device)
    return time.perf_counter()


def timed_fit(model: StageTwoModel, batches: BatchDataset, *, seed: int) -> float:
    """Train on ``batches`` like ``fla tune`` without dev, and return the seconds of the epochs."""
    device: torch.device = model.llm.device
    clock = Clock(device, seed=seed)
    with (
        tempfile.TemporaryDirectory() as folder,
        patch.object(train_loop, "StageTrainer", partial(_with, clock)),
    ):
        train_loop.fit(
            model, train=batches, dev=None, config=model.config.training, decoding=model.config.decoding,
            run=Path(folder), resume=False, seed=seed, device=device,
        )  # fmt: skip
    return clock.seconds


def _with(clock: Clock, *args: Any, **settings: Any) -> StageTrainer:
    trainer = StageTrainer(*args, **settings)
    trainer.add_callback(clock)
    return trainer


def trained(model: StageTwoModel) -> torch.Tensor:
    """Return a copy of all trained tensors as a vector."""
    return torch.cat([tensor.flatten().float() for tensor in model.checkpoint_state().values()])


def check_same_work(one: torch.Tensor, other: torch.Tensor, *, start: torch.Tensor) -> float:
    """Return the distance between two trainings as a share of the training's distance, at most 0.01."""
    share = ((one - other).norm() / (one - start).norm()).item()
    assert share <= 0.01, f"the two ways trained differently: {share:.2g} of the way apart"
    return share
