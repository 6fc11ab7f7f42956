"""Pairs of clips for a mapper: features of the same steps in two caches."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from ..cache.reader import FeatureCache
from ..core.errors import CacheError


@dataclass(frozen=True)
class Pairs:
    """Clips of a split that both caches hold, by their clean passes."""

    source: FeatureCache
    target: FeatureCache
    rows: Sequence[tuple[int, int]]
    """Row in the source and row in the target, of each clip."""

    def batches(
        self, order: Sequence[int], *, clips: int, device: torch.device
    ) -> Iterator[tuple[Tensor, Tensor]]:
        """Yield the steps of some clips at a time, one clip behind the other: (N, F) and (N, D).

        Args:
            order: numbers of the clips.
            clips: clips in a batch.
            device: where the mapper computes.
        """
        # Clips are packed and not padded: padding can never enter the error.
        for start in range(0, len(order), clips):
            rows = [self.rows[number] for number in order[start : start + clips]]
            given = np.concatenate([self.source[row] for row, _ in rows])
            wanted = np.concatenate([self.target[row] for _, row in rows])
            yield torch.from_numpy(given).to(device).float(), torch.from_numpy(wanted).to(device).float()


def pairs_of(source: FeatureCache, target: FeatureCache) -> Pairs:
    """Return the clips of a split that both caches hold.

    Raises:
        CacheError: the caches share no clip, or a clip has other steps in the target than in the source.
    """
    rows = []
    for id, views in source.views.items():
        # Descriptions are of the clean pass: augmented passes see other frames.
        if id not in target.views or source.rows[views[0]].view:
            continue
        row, other = views[0], target.views[id][0]
        steps = int(source.num_steps[row]), int(target.num_steps[other])
        if steps[0] != steps[1]:
            raise CacheError(
                f"A clip must have the same steps in both caches, but {id!r} has {steps[0]} in "
                f"{source.folder} and {steps[1]} in {target.folder}.\n"
                "Extract both with equal stride and largest number of frames (hf_text.frame_stride, "
                "hf_text.max_frames)."
            )
        # A clip that only one cache holds has nothing to learn from, and is predicted like the others.
        rows.append((row, other))
    if not rows:
        raise CacheError(
            f"{source.folder} and {target.folder} must hold the same clips, but share none of "
            f"{source.provenance.split}.\nExtract both from one manifest."
        )
    return Pairs(source, target, rows)
