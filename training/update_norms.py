"""Norms of gradients and updates of the parts of a model, at the steps that are logged."""

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor
from torch.nn.utils import get_total_norm
from transformers import TrainerCallback, TrainerControl, TrainerState, TrainingArguments

from .model import TranslationModel

_EPSILON = 1e-6  # torch's clip_grad_norm_ divides by the norm plus this number


class UpdateNorms(TrainerCallback):
    """Callback around the step of the optimiser.

    Attributes:
        total: gradient norm of the whole model before clipping. The trainer sets this norm at each step.
        row: ``grad_norms`` (before clipping) and ``update_norms`` (change of the weights) by part, of the
            last logged step.
    """

    def __init__(self, model: TranslationModel, *, every_steps: int) -> None:
        """Measure every ``every_steps`` steps, and at the end of an epoch."""
        self.total: Tensor | float = 0.0
        self.row: dict[str, dict[str, float]] = {}
        self._parts = model.parts()
        self._every = every_steps
        self._before: dict[str, list[Tensor]] = {}

    def on_pre_optimizer_step(
        self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **kwargs: Any
    ) -> None:
        """Measure gradients, and copy the weights."""
        if not state.is_world_process_zero or not self._is_due(state):
            return
        # The gradients are clipped already: the factor undoes the clipping.
        limit = args.max_grad_norm
        factor = max(1.0, (float(self.total) + _EPSILON) / limit) if limit > 0 else 1.0
        self.row = {"grad_norms": {name: factor * _norm(part) for name, part in self._parts.items()}}
        self._before = {name: [_copied(weight) for weight in part] for name, part in self._parts.items()}

    def on_optimizer_step(
        self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **kwargs: Any
    ) -> None:
        """Measure updates, if the weights were copied."""
        if self._before:
            moved = {name: _distance(part, self._before[name]) for name, part in self._parts.items()}
            self.row = self.row | {"update_norms": moved}
            self._before = {}

    def _is_due(self, state: TrainerState) -> bool:
        step, epoch_steps = state.global_step + 1, state.max_steps // state.num_train_epochs
        return step % self._every == 0 or step % epoch_steps == 0


@torch.no_grad()
def _copied(weight: Tensor) -> Tensor:
    """Return a copy in host memory, because a logged step must not need more memory of the GPU."""
    # Into pinned memory the copy runs beside the program. Else each of hundreds of weights waits for the GPU.
    copy = torch.empty_like(weight, device="cpu", pin_memory=weight.is_cuda)
    return copy.copy_(weight, non_blocking=weight.is_cuda)


def _norm(part: Sequence[Tensor]) -> float:
    """Return the norm of all gradients of a part."""
    return float(get_total_norm([parameter.grad for parameter in part if parameter.grad is not None]))


@torch.no_grad()
def _distance(part: Sequence[Tensor], before: Sequence[Tensor]) -> float:
    """Return the norm of the change of a part."""
    changes = [
        (now - old.to(now.device, non_blocking=now.is_cuda)).norm()
        for now, old in zip(part, before, strict=True)
    ]
    return float(torch.stack(changes).norm())
