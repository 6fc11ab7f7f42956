"""Views: augmented passes over training videos, the offline answer to image augmentation.

Stage two sees a frozen encoder's features, so frames must be augmented before they are encoded. What a
view looks like is drawn from (seed, id, view) alone: in any process, in any order, it is the same.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch

from ..core.sample import Sample
from ..core.seeds import derive_seed
from ..video.sampling import FrameSampling
from ..video.transforms import augment
from .config import ExtractConfig


@dataclass(frozen=True, kw_only=True)
class View:
    """One pass over a clip: a row of the cache."""

    sample: Sample
    number: int = 0
    """0 is the clean pass, 1 and above are augmented."""
    phase: int = 0
    """The first frame that is looked at."""


def views_of(
    samples: Sequence[Sample], *, config: ExtractConfig, sampling: FrameSampling
) -> tuple[View, ...]:
    """Return each sample's clean pass and, of training samples, ``config.views`` augmented ones after it.

    The clean pass has the configured phase; each other one of the phases that training draws from.
    """
    views = []
    for sample in samples:
        views.append(View(sample=sample, phase=config.phase))
        for number in range(1, 1 + (config.views if sample.split == "train" else 0)):
            draw = derive_seed(config.seed, "phase", sample.id, number)
            phase = sampling.phases[draw % len(sampling.phases)]
            views.append(View(sample=sample, number=number, phase=phase))
    return tuple(views)


def augmented(frames: np.ndarray, view: View, *, size: int, config: ExtractConfig) -> np.ndarray:
    """Return the frames of an augmented view: (T, H, W, 3) -> (T, size, size, 3), uint8."""
    generator = torch.Generator()
    generator.manual_seed(derive_seed(config.seed, "augment", view.sample.id, view.number))
    clip = torch.from_numpy(frames).permute(0, 3, 1, 2)
    changed = augment(clip, size=size, config=config.augment, generator=generator)
    return np.ascontiguousarray(changed.permute(0, 2, 3, 1).numpy())
