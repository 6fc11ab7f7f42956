"""Retry after out of memory: the batch is halved, with the same gradient up to rounding and BatchNorm.

The number of batches stays, because the learning rate schedule counts them. A checkpoint holds the limit, so
a resumed run halves batches of this size at once.
"""

import logging
from collections.abc import Callable, Sequence
from functools import cached_property
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from ..core.errors import RunError
from ..core.files import read_json, write_json
from .batch_norm import running_statistics
from .model import TranslationModel

logger = logging.getLogger(__name__)

FILE = "memory_limit.json"
Batch = dict[str, Any]
Step = Callable[[Batch], Tensor]


class OomRetry:
    """Forward and backward of a batch, in halves if the device's memory cannot hold the batch."""

    def __init__(self, model: TranslationModel, *, processes: int) -> None:
        """Start without a limit.

        Args:
            model: the model, which halves and measures its batches.
            processes: number of processes that train together.
        """
        self.model = model
        self.limit: int | None = None
        """Padded size from which batches are halved at once. None: no batch has failed."""
        self._processes = processes

    def run(self, step: Step, batch: Batch) -> Tensor:
        """Return the loss of a batch, and add the gradient to the parameters.

        Args:
            step: forward and backward of a batch or a half. The loss is divided by the number of labels in
                the whole step, so that the losses of halves sum to the loss of the batch.
            batch: a collated batch.

        Raises:
            RunError: the memory cannot hold a batch that cannot be halved, or several processes train.
        """
        if self.limit is not None and self.model.padded_size(batch) >= self.limit:
            return self._in_halves(step, batch)
        aside, statistics = self._set_aside(), self._copy_statistics()
        try:
            loss = step(dict(batch))  # the Trainer removes marks, which the halves need
        except torch.OutOfMemoryError as error:
            problem = error
        else:
            _put_back(aside)
            return loss
        problem.__traceback__ = None  # the traceback's frames hold the tensors that filled the memory
        # A failed backward leaves the gradient of some layers, which the halves would count again.
        for parameter in self._trained:
            parameter.grad = None
        # The failed forward pass has moved running statistics, which the halves would move again.
        for own, before in statistics:
            own.copy_(before)
        _put_back(aside)
        torch.cuda.empty_cache()
        self._learn(batch, problem)
        return self._in_halves(step, batch)

    def save(self, folder: Path) -> None:
        """Write the limit, if any, into the folder of a checkpoint."""
        if self.limit is not None:
            write_json(folder / FILE, {"limit": self.limit})

    def load(self, folder: Path) -> None:
        """Read the limit, if any, from the folder of a checkpoint."""
        if (folder / FILE).exists():
            self.limit = read_json(folder / FILE)["limit"]

    def _in_halves(self, step: Step, batch: Batch) -> Tensor:
        halves = self._halve(batch)
        if halves is None:  # one long clip may fit where many short clips of the same size did not
            return step(dict(batch))
        first, second = halves
        return self.run(step, first) + self.run(step, second)

    def _learn(self, batch: Batch, problem: BaseException) -> None:
        size = f"{self.model.padded_size(batch)} {self.model.unit}"
        # With several processes, a process in halves and one with a whole batch would wait for each other.
        if self._processes > 1 or self._halve(batch) is None:
            raise RunError(
                f"The device's memory must hold a batch of {size}, but does not: {problem}\n"
                f"{self.model.memory_remedy}"
            ) from problem
        self.limit = self.model.padded_size(batch)
        logger.warning(f"The device's memory cannot hold a batch of {size}: such batches now run in halves.")

    @cached_property
    def _trained(self) -> list[Tensor]:
        return [parameter for parameter in self.model.parameters() if parameter.requires_grad]

    @cached_property
    def _statistics(self) -> list[Tensor]:
        return running_statistics(self.model)

    def _copy_statistics(self) -> list[tuple[Tensor, Tensor]]:
        """Return each running statistic with a copy. Several processes do not retry, and need no copies."""
        return [] if self._processes > 1 else [(own, own.clone()) for own in self._statistics]

    def _halve(self, batch: Batch) -> tuple[Batch, Batch] | None:
        """Return the halves of a batch. Entries that are no tensors, such as marks, stand in both."""
        marks = {name: value for name, value in batch.items() if not isinstance(value, Tensor)}
        halves = self.model.halve({name: batch[name] for name in batch.keys() - marks.keys()})
        return None if halves is None else (halves[0] | marks, halves[1] | marks)

    def _set_aside(self) -> list[tuple[Tensor, Tensor]]:
        """Detach the gradients of earlier batches from the parameters, and return them."""
        # Only the gradient of a failed batch must be removed. A copy would cost time at every batch.
        # With several processes the gradients stay: torch averages them over the processes.
        if self._processes > 1:
            return []
        aside = [(parameter, parameter.grad) for parameter in self._trained if parameter.grad is not None]
        for parameter, _ in aside:
            parameter.grad = None
        return aside


def _put_back(aside: Sequence[tuple[Tensor, Tensor]]) -> None:
    """Add the gradients of the last batch to the gradients of earlier batches."""
    for parameter, gradient in aside:
        if parameter.grad is not None:
            gradient += parameter.grad
        parameter.grad = gradient
