"""Views: augmented passes over training videos.

Stage two gets features of a frozen encoder, so frames must be augmented before they are encoded. A view is
drawn from (seed, id, view) alone: it is the same in any process and in any order.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch

from ..cache.format import CacheRow
from ..core.sample import Sample
from ..core.seeds import derive_seed
from ..video.sampling import FrameSampling
from ..video.transforms import augment
from .config import ExtractConfig


@dataclass(frozen=True, kw_only=True)
class View:
    """Pass over a clip: a row of the cache."""

    sample: Sample
    number: int = 0
    """0: the clean pass. 1 and above: augmented passes."""
    frame_offset: int = 0
    """First sampled frame (the phase)."""

    @property
    def row(self) -> CacheRow:
        """Description of the view in the cache."""
        return CacheRow.of(self.sample, view=self.number, frame_offset=self.frame_offset)


def views_of(
    samples: Sequence[Sample], *, config: ExtractConfig, sampling: FrameSampling
) -> tuple[View, ...]:
    """Return the clean pass of each sample and, of samples of train, ``config.views`` augmented passes.

    The clean pass begins at the configured phase, an augmented pass at a phase that training draws from.
    """
    views = []
    for sample in samples:
        views.append(View(sample=sample, frame_offset=config.phase))
        for number in range(1, 1 + (config.views if sample.split == "train" else 0)):
            # From the id alone, not from a stream of numbers: shards and resumed runs draw the same.
            # The number of the view is part of the seed: a further view changes no earlier view.
            draw = derive_seed(config.seed, "phase", sample.id, number)
            phase = sampling.phases[draw % len(sampling.phases)]
            views.append(View(sample=sample, number=number, frame_offset=phase))
    return tuple(views)


def augmented(frames: np.ndarray, view: View, *, size: int, config: ExtractConfig) -> np.ndarray:
    """Return the frames of an augmented view: (T, H, W, 3) -> (T, size, size, 3), uint8."""
    generator = torch.Generator()
    # A label of its own keeps this draw independent of the draw of the phase.
    generator.manual_seed(derive_seed(config.seed, "augment", view.sample.id, view.number))
    clip = torch.from_numpy(frames).permute(0, 3, 1, 2)
    changed = augment(clip, size=size, config=config.augment, generator=generator)
    return np.ascontiguousarray(changed.permute(0, 2, 3, 1).numpy())
