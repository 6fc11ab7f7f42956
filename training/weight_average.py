"""Exponential moving average (EMA) of the weights, for evaluations and for the weights that a run keeps."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from torch.optim.swa_utils import AveragedModel, get_ema_multi_avg_fn
from transformers import TrainerCallback, TrainerControl, TrainerState, TrainingArguments

from .checkpoints import AVERAGED, load_weights, save_weights
from .model import TranslationModel


class WeightAverage(TrainerCallback):
    """Callback that averages the trained tensors after each step, statistics of BatchNorm included."""

    def __init__(self, model: TranslationModel, *, decay: float) -> None:
        """Start with the tensors of ``model``, which must be on its device.

        Args:
            model: the model.
            decay: share of the average that stays at each step.
        """
        # The tensors alone: a copy of the whole model would also copy a frozen language model.
        state = model.checkpoint_state()
        self._names = list(state)
        self._own = _Tensors(list(state.values()))
        self._mean = AveragedModel(self._own, multi_avg_fn=get_ema_multi_avg_fn(decay), use_buffers=True)

    def on_optimizer_step(
        self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **kwargs: Any
    ) -> None:
        """Move the average. The first step sets the average."""
        self._mean.update_parameters(self._own)

    @contextmanager
    def applied(self) -> Iterator[None]:
        """Give the model the averaged tensors inside the block."""
        self._swap()
        try:
            yield
        finally:
            self._swap()

    def save(self, folder: Path) -> None:
        """Write the average into the folder of a checkpoint."""
        save_weights(dict(zip(self._names, self._mean.module.buffers(), strict=True)), folder, name=AVERAGED)

    def load(self, folder: Path) -> None:
        """Read the average from the folder of a checkpoint, whose weights the model has.

        Without an average in the checkpoint, the next step sets the average.
        """
        saved = load_weights(folder, name=AVERAGED) if (folder / AVERAGED).is_file() else None
        for name, own, mean in zip(
            self._names, self._own.buffers(), self._mean.module.buffers(), strict=True
        ):
            mean.copy_(own if saved is None else saved[name])
        self._mean.n_averaged.fill_(0 if saved is None else 1)  # only 0 has a meaning: nothing averaged

    @torch.no_grad()
    def _swap(self) -> None:
        # One tensor at a time: an evaluation must not need a third copy of all weights.
        for own, mean in zip(self._own.buffers(), self._mean.module.buffers(), strict=True):
            kept = own.clone()
            own.copy_(mean)
            mean.copy_(kept)


class _Tensors(nn.Module):
    """Tensors as the buffers of a module, for :class:`AveragedModel`."""

    def __init__(self, tensors: list[Tensor]) -> None:
        super().__init__()
        for number, tensor in enumerate(tensors):
            self.register_buffer(f"tensor_{number}", tensor)
