"""Out of memory: a batch is halved and run in parts, with the same gradient up to rounding.

The batches were formed once and the schedule counts them, so neither changes. What is learnt is kept in the
checkpoint: after a resume, batches as large as the one that failed are halved at once.
"""

from collections.abc import Callable, Sequence
from functools import cached_property
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from ..core.errors import RunError
from ..core.files import read_json, write_json
from ..core.progress import say
from .model import TranslationModel

FILE = "memory_limit.json"
Batch = dict[str, Any]
Step = Callable[[Batch], Tensor]


class OomRetry:
    """Runs forward and backward of a batch, in parts where it does not fit into the device's memory."""

    def __init__(self, model: TranslationModel, *, processes: int) -> None:
        """Begin without a limit.

        Args:
            model: what is trained; it says how its batches are halved and how large they are.
            processes: that train together. Several cannot split: they would wait for each other's gradients.
        """
        self.model = model
        self.limit: int | None = None
        """Batches of this padded size or a larger one are halved at once; None: none failed yet."""
        self._processes = processes

    def run(self, step: Step, batch: Batch) -> Tensor:
        """Return the loss of a batch, its gradient added to what is there.

        Args:
            step: forward and backward of a batch or a part of one, whose loss is divided by the labels of the
                whole step, so that parts add up.
            batch: as the collate function made it.

        Raises:
            RunError: a batch that cannot be halved does not fit, or several processes train together.
        """
        if self.limit is not None and self.model.padded_size(batch) >= self.limit:
            return self._in_halves(step, batch)
        aside = self._set_aside()
        try:
            loss = step(batch)
        except torch.OutOfMemoryError as error:
            problem = error
        else:
            _put_back(aside)
            return loss
        problem.__traceback__ = None  # its frames hold the tensors that filled the memory
        for parameter in self._trained:
            parameter.grad = None
        _put_back(aside)
        torch.cuda.empty_cache()
        self._learn(batch, problem)
        return self._in_halves(step, batch)

    def save(self, folder: Path) -> None:
        """Write the limit, where there is one, into a checkpoint's folder."""
        if self.limit is not None:
            write_json(folder / FILE, {"limit": self.limit})

    def load(self, folder: Path) -> None:
        """Take the limit of a checkpoint's folder, where it has one."""
        if (folder / FILE).exists():
            self.limit = read_json(folder / FILE)["limit"]

    def _in_halves(self, step: Step, batch: Batch) -> Tensor:
        halves = self.model.halve(batch)
        if halves is None:  # within the limit, though a larger batch of shorter clips was not
            return step(batch)
        first, second = halves
        return self.run(step, first) + self.run(step, second)

    def _learn(self, batch: Batch, problem: BaseException) -> None:
        size = f"{self.model.padded_size(batch)} {self.model.unit}"
        if self._processes > 1 or self.model.halve(batch) is None:
            raise RunError(
                f"The device's memory must hold a batch of {size}, but does not: {problem}\n"
                f"Set a smaller training.batch_{self.model.unit}, or training.batch_clips."
            ) from problem
        self.limit = self.model.padded_size(batch)
        say(f"The device's memory cannot hold a batch of {size}: such batches now run in halves.")

    @cached_property
    def _trained(self) -> list[Tensor]:
        return [parameter for parameter in self.model.parameters() if parameter.requires_grad]

    def _set_aside(self) -> list[tuple[Tensor, Tensor]]:
        """Take the gradients of earlier batches off, so that what a failed one leaves can be told from them.

        A copy would do as well, but take its time with every batch. Several processes leave them: torch
        averages over the processes what it finds there.
        """
        if self._processes > 1:
            return []
        aside = [(parameter, parameter.grad) for parameter in self._trained if parameter.grad is not None]
        for parameter, _ in aside:
            parameter.grad = None
        return aside


def _put_back(aside: Sequence[tuple[Tensor, Tensor]]) -> None:
    """Add the gradients that have come since to those that were set aside."""
    for parameter, gradient in aside:
        if parameter.grad is not None:
            gradient += parameter.grad
        parameter.grad = gradient
