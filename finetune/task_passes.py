"""Passes over the clips of each task in an epoch, for training on a mixture of tasks.

An epoch has places, the same in every epoch, so that batches are formed once. A place shows one clip in each
epoch. A task with two passes has two places for each clip. A task with half a pass has a place for each pair
of clips, which take turns.
"""

from collections.abc import Mapping, Sequence
from typing import Any

from ..core.seeds import derive_seed
from .data import FeatureItems

Places = list[tuple[int, ...]]
"""Clips of each place, by number."""


def places_of(tasks: Sequence[str], lengths: Sequence[int], passes: Mapping[str, float]) -> Places:
    """Return the places of an epoch.

    A task of n clips has ``round(passes * n)`` places, at least one. Clips that share a place are of similar
    length, since the longest clip decides the size of a batch.

    Args:
        tasks: task of each clip.
        lengths: feature steps of each clip.
        passes: passes over the clips of a task in an epoch. A task without an entry has one pass.

    >>> places_of(["translate"] * 2 + ["isolated"] * 4, [9, 8, 1, 4, 2, 3], {"isolated": 0.5})
    [(0,), (1,), (2, 4), (5, 3)]
    """
    places: Places = [(clip,) for clip, task in enumerate(tasks) if task not in passes]
    for task in sorted(set(tasks) & passes.keys()):
        clips = [clip for clip, own in enumerate(tasks) if own == task]
        whole, rest = divmod(max(1, round(passes[task] * len(clips))), len(clips))
        places += [(clip,) for _ in range(whole) for clip in clips]
        by_length = sorted(clips, key=lengths.__getitem__)
        ends = [len(clips) * number // rest for number in range(rest + 1)] if rest else []
        places += [tuple(by_length[start:end]) for start, end in zip(ends, ends[1:], strict=False)]
    return places


class TaskPasses:
    """Training clips by place: the items of :class:`.batching.TrainBatches`."""

    def __init__(self, items: FeatureItems, passes: Mapping[str, float], *, seed: int) -> None:
        """Form the places of ``items``. ``seed`` decides which clip of a place comes first."""
        self.items = items
        self.places = places_of(items.tasks, items.lengths, passes)
        self.seed = seed

    def __len__(self) -> int:
        """Return the number of places."""
        return len(self.places)

    def get(self, index: int, epoch: int) -> dict[str, Any]:
        """Return the clip of a place in ``epoch``. The clips of a place take turns."""
        place = self.places[index]
        # Turns and not draws: each clip comes equally often, and a resumed run knows the turn.
        turn = derive_seed(self.seed, "passes", index) + epoch
        return self.items.get(place[turn % len(place)], epoch)

    def longest(self, lengths: Sequence[int]) -> list[int]:
        """Return the length of the longest clip of each place, from the length of each clip."""
        return [max(lengths[clip] for clip in place) for place in self.places]
