"""Baselines of a sign translation set: the most frequent sentence, and the sentence of the nearest clip."""

from collections import Counter

import numpy as np

from fla_llm.core.progress import progress
from fla_llm.core.sample import Sample
from fla_llm.corpora.manifest import Manifest
from fla_llm.video.frames import read_frames
from fla_llm.video.sampling import FrameSampling

TIMES, SIDE = 8, 24
"""A clip is compared by this many pictures, evenly spaced in time, of this side in pixels."""


def most_frequent(manifest: Manifest) -> list[str]:
    """Return the most frequent training sentence for each test clip."""
    common = Counter(sample.text for sample in manifest.split("train")).most_common(1)[0][0]
    return [common] * len(manifest.split("test"))


def nearest_clip(manifest: Manifest) -> list[str]:
    """Return for each test clip the sentence of the training clip with the most similar pictures."""
    train, test = manifest.split("train"), manifest.split("test")
    known = np.stack(
        [describe(manifest, sample) for sample in progress(train, desc="train", total=len(train))]
    )
    return [train[int(np.argmax(known @ describe(manifest, sample)))].text for sample in test]


def describe(manifest: Manifest, sample: Sample) -> np.ndarray:
    """Return a clip as one vector of length 1: grey pictures at even times, without their mean."""
    clip = manifest.clip(sample)
    frames = read_frames(clip, sampling=FrameSampling(stride=1, max_frames=TIMES), size=SIDE)
    # A clip of fewer frames repeats some of them.
    grey = frames.mean(axis=3)[np.linspace(0, len(frames) - 1, TIMES).round().astype(int)]
    # Without its mean over the picture, a frame says more of the hand and less of the light.
    vector = (grey - grey.mean(axis=(1, 2), keepdims=True)).ravel().astype(np.float32)
    return vector / max(float(np.linalg.norm(vector)), 1e-6)
