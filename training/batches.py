"""Batches, formed once from the clips' lengths; an epoch only shuffles their order.

So every epoch has the same number of steps in every process, and resuming finds its place by counting.
"""

import random
from collections.abc import Callable, Iterator, Sequence
from typing import Any, Protocol

import torch
from torch.utils.data import Dataset, Sampler

from ..core.errors import DataError
from ..core.sample import Unreadable
from ..core.seeds import derive_seed
from .workers import prepare_item

Collate = Callable[[list[dict[str, Any]]], dict[str, Any]]
DUMMY = "is_dummy"
"""In a batch: it takes the turn of one that is not there, and must weigh nothing."""
UNREADABLE = "unreadable"
"""In a batch: its clips that could not be read."""


class Items(Protocol):
    """What a stage trains on: one clip, or one row of the cache, by index."""

    def __len__(self) -> int:
        """Return how many there are."""
        ...

    def get(self, index: int, epoch: int) -> dict[str, Any] | Unreadable:
        """Return one item, or why it cannot be read; random choices are drawn from (seed, ``epoch``, id)."""
        ...


def make_batches(*lengths: Sequence[int], max_clips: int, max_steps: int, seed: int) -> list[list[int]]:
    """Group clips of near-equal length: at most ``max_clips``, at most ``max_steps`` steps once padded.

    A clip longer than ``max_steps`` makes a batch of its own. Which of equally long clips share a batch is
    drawn from ``seed``.

    Args:
        lengths: of each clip, on one side, or on two that are padded apart (source, sentence).
        max_clips: clips in a batch, at most.
        max_steps: bounds :func:`padded_size`.
        seed: draws among equals.

    Returns:
        Indices of clips, each exactly once; of one side, longest batches first.

    >>> make_batches([5, 1, 5, 2], max_clips=2, max_steps=10, seed=0)
    [[2, 0], [3, 1]]
    """
    order = list(range(len(lengths[0])))
    random.Random(derive_seed(seed, "batches")).shuffle(order)
    order.sort(key=lambda index: -lengths[0][index])  # stable: keeps the shuffle among equals
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
    """Return the steps of a batch, padding included: clips times the longest, added up over the sides.

    >>> padded_size([0, 2], [5, 1, 3], [1, 1, 2])
    14
    """
    return len(batch) * sum(max(side[index] for index in batch) for side in lengths)


def _in_strips(order: Sequence[int], lengths: Sequence[int], *, count: int) -> list[int]:
    """Sort by a second side inside each of ``count`` strips of clips that are sorted by the first.

    With as many strips as batches in a strip both sides waste alike. Strips fall and rise in turn, so that a
    batch across two of them has like clips too.
    """
    size = max(1, -(-len(order) // count))
    strips = [order[start : start + size] for start in range(0, len(order), size)]
    return [
        index
        for number, strip in enumerate(strips)
        for index in sorted(strip, key=lengths.__getitem__, reverse=number % 2 == 0)
    ]


class BatchDataset(Dataset[dict[str, Any]]):
    """A dataset whose item i is the collated batch i of the current epoch."""

    def __init__(self, items: Items, batches: Sequence[Sequence[int]], collate: Collate) -> None:
        """Keep ``items`` and how they are batched; ``batches`` comes from :func:`make_batches`."""
        self.items = items
        self.batches = batches
        self.collate = collate
        self.epoch = 0

    def __len__(self) -> int:
        """Return the number of batches, the same in every epoch."""
        return len(self.batches)

    def __getitem__(self, index: int) -> dict[str, Any]:
        """Return batch ``index`` as training takes it: never empty.

        Past the last, and where no clip of a batch can be read, the next readable batch fills the turn: steps
        are counted, so none may be missing.

        Raises:
            DataError: no clip of any batch can be read.
        """
        return prepare_item(lambda: self._filled(index))

    def read(self, index: int) -> tuple[dict[str, Any] | None, dict[int, Unreadable]]:
        """Return the readable clips of batch ``index`` collated, None without any; the others by item."""
        items = {item: self.items.get(item, self.epoch) for item in self.batches[index]}
        unreadable = {item: found for item, found in items.items() if isinstance(found, Unreadable)}
        readable = [found for found in items.values() if not isinstance(found, Unreadable)]
        return (self.collate(readable) if readable else None), unreadable

    def set_epoch(self, epoch: int) -> None:
        """Choose the epoch random choices are drawn for; accelerate's loader calls this, however wrapped."""
        self.epoch = epoch

    def _filled(self, index: int) -> dict[str, Any]:
        start = min(index, len(self) - 1)  # the last is among the shortest: it is computed on for nothing
        unreadable: list[Unreadable] = []
        for turn in range(len(self)):
            batch, missing = self.read((start + turn) % len(self))
            unreadable += missing.values()
            if batch is not None:
                dummy = {DUMMY: True} if turn or index != start else {}
                return batch | dummy | ({UNREADABLE: unreadable} if unreadable else {})
        raise DataError(f"No training clip can be read any more; {unreadable[0]}")


class EpochOrder(Sampler[int]):
    """The batches in an order drawn from (seed, epoch).

    It reads the epoch off the dataset and has no ``set_epoch`` of its own: accelerate loses a sampler's epoch
    behind its wrappers for several processes and for resuming, but always passes it on to the dataset,
    provided that the sampler does not take it.
    """

    def __init__(self, dataset: BatchDataset, *, seed: int, processes: int = 1) -> None:
        """Order the batches of ``dataset``, which ``processes`` take in turns."""
        self.dataset = dataset
        self.seed = seed
        self.processes = processes

    def __len__(self) -> int:
        """Return the number of batches, filled up so that each process has as many turns."""
        return -(-len(self.dataset) // self.processes) * self.processes

    def __iter__(self) -> Iterator[int]:
        """Yield every batch's index once, then indices of filling ones.

        Where turns are missing, accelerate would give the epoch's first batches a second time.
        """
        generator = torch.Generator().manual_seed(derive_seed(self.seed, "order", self.dataset.epoch))
        yield from torch.randperm(len(self.dataset), generator=generator).tolist()
        yield from range(len(self.dataset), len(self))
