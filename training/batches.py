"""Batches of clips of similar length. A run forms batches once, and an epoch only shuffles the batches.

Every epoch has the same number of steps in every process, so a resumed run finds its batch by counting.
"""

import random
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any, Protocol

import torch
from torch.utils.data import Dataset, Sampler

from ..core.errors import DataError
from ..core.sample import Unreadable
from ..core.seeds import derive_seed
from .workers import prepare_item

Collate = Callable[[list[dict[str, Any]]], dict[str, Any]]
DUMMY = "is_dummy"
"""Key of a batch that only fills a turn. The loss of this batch does not count."""
UNREADABLE = "unreadable"
"""Key of the unreadable clips of a batch."""


def move_batch(batch: Mapping[str, Any], device: torch.device) -> dict[str, Any]:
    """Return a batch with every tensor on ``device``. The Trainer moves the batches of its own steps.

    >>> move_batch({"features": torch.ones(2, 3), "ids": ["a", "b"]}, torch.device("meta"))["features"].device
    device(type='meta')
    """
    return {
        name: value.to(device, non_blocking=True) if isinstance(value, torch.Tensor) else value
        for name, value in batch.items()
    }


class Items(Protocol):
    """Training data of a stage: clips, or rows of the cache, by index."""

    def __len__(self) -> int:
        """Return the number of items."""
        ...

    def get(self, index: int, epoch: int) -> dict[str, Any] | Unreadable:
        """Return an item, or the fault of an unreadable clip. Random choices follow (seed, ``epoch``, id)."""
        ...


def make_batches(*lengths: Sequence[int], max_clips: int, max_steps: int, seed: int) -> list[list[int]]:
    """Group clips of similar length into batches of at most ``max_clips`` and ``max_steps`` padded steps.

    A clip longer than ``max_steps`` forms its own batch. ``seed`` decides which clips of equal length share a
    batch.

    Args:
        lengths: length of each clip. With two sequences (source, sentence), each is padded separately.
        max_clips: maximum number of clips in a batch.
        max_steps: maximum of :func:`padded_size`.
        seed: seed of the order of clips of equal length.

    Returns:
        Indices of clips, each exactly once. With one sequence, the longest batches come first.

    >>> make_batches([5, 1, 5, 2], max_clips=2, max_steps=10, seed=0)
    [[2, 0], [3, 1]]
    """
    order = list(range(len(lengths[0])))
    random.Random(derive_seed(seed, "batches")).shuffle(order)
    order.sort(key=lambda index: -lengths[0][index])  # a stable sort keeps the shuffle among equals
    if len(lengths) > 1:
        batch_count = max(len(order) / max_clips, sum(map(sum, lengths)) / max_steps)
        order = _in_strips(order, lengths[1], count=max(1, round(batch_count**0.5)))
    batches: list[list[int]] = []
    for index in order:
        batch = batches[-1] if batches else []
        if batch and len(batch) < max_clips and padded_size([*batch, index], *lengths) <= max_steps:
            batch.append(index)
        else:
            batches.append([index])
    return batches


def padded_size(batch: Sequence[int], *lengths: Sequence[int]) -> int:
    """Return the steps of a batch with padding: clips times the longest clip, summed over the sequences.

    >>> padded_size([0, 2], [5, 1, 3], [1, 1, 2])
    14
    """
    return len(batch) * sum(max(side[index] for index in batch) for side in lengths)


def _in_strips(order: Sequence[int], lengths: Sequence[int], *, count: int) -> list[int]:
    """Cut sorted clips into ``count`` strips, and sort each strip by the second length."""
    # With as many strips as batches in a strip, both sequences waste the same amount of padding.
    size = max(1, -(-len(order) // count))
    strips = [order[start : start + size] for start in range(0, len(order), size)]
    # Strips fall and rise in turn: a batch that spans two strips holds similar clips too.
    return [
        index
        for number, strip in enumerate(strips)
        for index in sorted(strip, key=lengths.__getitem__, reverse=number % 2 == 0)
    ]


class EpochIndex(int):
    """Index of a batch, with the epoch in which the batch is needed."""

    epoch: int

    def __new__(cls, index: int, epoch: int = 0) -> "EpochIndex":
        """Return ``index`` with an epoch."""
        made = super().__new__(cls, index)
        made.epoch = epoch
        return made


class BatchDataset(Dataset[dict[str, Any]]):
    """Dataset of batches: item i is the collated batch i of the current epoch."""

    def __init__(self, items: Items, batches: Sequence[Sequence[int]], collate: Collate) -> None:
        """Keep ``items`` and ``batches``, the result of :func:`make_batches`."""
        self.items = items
        self.batches = batches
        self.collate = collate
        self.epoch = 0

    def __len__(self) -> int:
        """Return the number of batches, the same in every epoch."""
        return len(self.batches)

    def __getitem__(self, index: int) -> dict[str, Any]:
        """Return batch ``index`` for training, which is never empty.

        The next readable batch replaces a batch without readable clips, and an index after the last batch.

        Raises:
            DataError: no clip of any batch can be read.
        """
        # A worker process lives for several epochs, and its copy of this object hears no set_epoch().
        if isinstance(index, EpochIndex):
            self.set_epoch(index.epoch)
        return prepare_item(lambda: self._filled(index))

    def read(self, index: int) -> tuple[dict[str, Any] | None, dict[int, Unreadable]]:
        """Return the collated readable clips of a batch (None: no clip), and the unreadable clips by item."""
        items = {item: self.items.get(item, self.epoch) for item in self.batches[index]}
        unreadable = {item: found for item, found in items.items() if isinstance(found, Unreadable)}
        readable = [found for found in items.values() if not isinstance(found, Unreadable)]
        return (self.collate(readable) if readable else None), unreadable

    def set_epoch(self, epoch: int) -> None:
        """Set the epoch of random choices. The loader of accelerate calls this method at each epoch."""
        self.epoch = epoch

    def _filled(self, index: int) -> dict[str, Any]:
        # Steps are counted, so each turn needs a batch. The last batch is short: its result is thrown away.
        start = min(index, len(self) - 1)
        unreadable: list[Unreadable] = []
        for turn in range(len(self)):
            batch, missing = self.read((start + turn) % len(self))
            unreadable += missing.values()
            if batch is not None:
                dummy = {DUMMY: True} if turn or index != start else {}
                return batch | dummy | ({UNREADABLE: unreadable} if unreadable else {})
        raise DataError(f"No training clip can be read any more. The first: {unreadable[0]}")


class EpochOrder(Sampler[int]):
    """Sampler of batches in an order drawn from (seed, epoch)."""

    # No set_epoch here: the dataset has the epoch. accelerate loses a sampler's epoch behind its wrappers for
    # several processes and for resuming. It gives the epoch to the dataset if the sampler takes none.

    def __init__(
        self, dataset: BatchDataset, *, seed: int, processes: int = 1, draws_for_loader: bool = False
    ) -> None:
        """Order the batches of ``dataset``.

        Args:
            dataset: the batches.
            seed: seed of the order.
            processes: number of processes that train together.
            draws_for_loader: draw a number from torch's global stream in each epoch. A loader without workers
                does so itself, and a loader with persistent workers in the first epoch alone.
        """
        self.dataset = dataset
        self.seed = seed
        self.processes = processes
        self.draws_for_loader = draws_for_loader

    def __len__(self) -> int:
        """Return the number of batches, rounded up to a multiple of the processes."""
        return -(-len(self.dataset) // self.processes) * self.processes

    def __iter__(self) -> Iterator[int]:
        """Yield the index of every batch once, then indices of dummy batches."""
        epoch = self.dataset.epoch
        # Dropout uses the same stream. Workers, and a resume between two epochs, must not shift the stream.
        if self.draws_for_loader:
            torch.empty((), dtype=torch.int64).random_()
        generator = torch.Generator().manual_seed(derive_seed(self.seed, "order", epoch))
        order: list[int] = torch.randperm(len(self.dataset), generator=generator).tolist()
        # accelerate would fill missing turns with the first batches of the epoch, which then count twice.
        for index in [*order, *range(len(self.dataset), len(self))]:
            yield EpochIndex(index, epoch)
