"""Damaged copies of the demo's test clips, and the demo as a corpus of three tasks, for ``pose_demo.py``."""

import math
import random
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
from PIL import Image

from fla_llm.core.sample import Sample
from fla_llm.core.seeds import derive_seed
from fla_llm.corpora.manifest import Manifest, write_manifest
from fla_llm.demo.corpus import ClipPlan
from fla_llm.poses.array_files import write_npz
from fla_llm.poses.clip import PoseClip
from fla_llm.poses.layouts import SLICES
from fla_llm.poses.reading import read_poses

Damage = Callable[[PoseClip, np.random.Generator], PoseClip]
HELD_OUT = 5
"""One of so many clips of each single sign is a test clip, at least one clip. One more is a dev clip."""


def with_noise(share: float) -> Damage:
    """Return a damage that moves each visible point.

    Args:
        share: standard deviation along x and y, in units of half the larger side of the box around the body
            of the clip, as the setting ``augment_poses.noise``.
    """

    def damage(clip: PoseClip, rng: np.random.Generator) -> PoseClip:
        seen = clip.scores > 0
        body = np.asarray(clip.layout.chosen)[SLICES["body"]]
        places = clip.points[:, body][seen[:, body]]
        unit = float((places.max(0) - places.min(0)).max()) / 2
        moved = clip.points + rng.normal(0, share * unit, clip.points.shape)
        return replace(clip, points=np.where(seen[..., None], moved, 0).astype(np.float32))

    return damage


def without_hands(share: float) -> Damage:
    """Return a damage that loses each hand in a share of the frames: points and scores are 0."""

    def damage(clip: PoseClip, rng: np.random.Generator) -> PoseClip:
        points, scores = clip.points.copy(), clip.scores.copy()
        for hand in ("left", "right"):
            frames = np.flatnonzero(rng.random(len(clip)) < share)
            places = np.ix_(frames, np.asarray(clip.layout.chosen)[SLICES[hand]])
            points[places], scores[places] = 0, 0
        return replace(clip, points=points, scores=scores)

    return damage


def write_damaged_poses(
    manifest: Manifest, folder: Path, *, damage: Damage, size: tuple[int, int], seed: int
) -> Path:
    """Write damaged pose files of the test clips, and return their manifest.

    Args:
        manifest: clips with pose files.
        folder: the name of the folder becomes part of the name of the corpus.
        damage: the damage of a clip.
        size: width and height of the picture in pixels.
        seed: equal seeds give equal damage.
    """
    (folder / "poses").mkdir(parents=True, exist_ok=True)
    samples = []
    for number, sample in enumerate(manifest.split("test")):
        # A generator for each clip: the damage does not depend on the order of clips.
        rng = np.random.default_rng(derive_seed(seed, "damage", sample.id))
        clip = damage(read_poses(manifest.file(sample, "poses")), rng)
        write_npz(folder / "poses" / f"{number}.npz", clip, size=size)
        samples.append(replace(sample, video=None, poses=f"poses/{number}.npz"))
    return _write(manifest, folder, samples)


def write_black_videos(manifest: Manifest, folder: Path, *, share: float, size: int, seed: int) -> Path:
    """Write black pictures in place of a share of the test videos, and return the manifest.

    Args:
        manifest: clips with videos.
        folder: folder of the manifest and the pictures.
        share: share of the clips.
        size: side of the pictures in pixels.
        seed: seed of the draw of clips.
    """
    test = manifest.split("test")
    chosen = set(random.Random(seed).sample(range(len(test)), math.ceil(share * len(test))))
    samples = []
    for number, sample in enumerate(test):
        video = str(manifest.file(sample, "video").absolute())
        if number in chosen:
            # A folder of pictures is a video too. As many frames as before: the steps of key points stay.
            video = f"black/{number}"
            (folder / video).mkdir(parents=True, exist_ok=True)
            for frame in range(sample.num_frames):
                Image.new("RGB", (size, size)).save(folder / video / f"{frame:05d}.png")
        samples.append(replace(sample, video=video, poses=None))
    return _write(manifest, folder, samples)


def write_three_tasks(manifest: Manifest, plans: Sequence[ClipPlan], path: Path) -> Path:
    """Write a manifest in which sentences are translated and transcribed, and single signs are named.

    Each sentence gives two samples with the same key points: the text, and the signs in signing order.
    Some of the training clips of each single sign become dev and test clips.

    Args:
        manifest: the demo corpus with pose files.
        plans: plans of all clips of the corpus, in the order of the manifest.
        path: the manifest to write.
    """
    repeats = Counter(plan.signs for plan in plans if len(plan.signs) == 1)
    met: Counter[tuple[str, ...]] = Counter()
    samples: list[Sample] = []
    for sample, plan in zip(manifest.samples, plans, strict=True):
        samples += _tasks_of(sample, plan, before=met[plan.signs], repeats=repeats[plan.signs])
        met[plan.signs] += 1
    write_manifest(path, replace(manifest, corpus=f"{manifest.corpus}-tasks", samples=tuple(samples)))
    return path


def _tasks_of(sample: Sample, plan: ClipPlan, *, before: int, repeats: int) -> Iterator[Sample]:
    glosses = " ".join(plan.signs)
    if len(plan.signs) > 1:
        yield sample
        yield replace(sample, id=f"{sample.id}-glosses", text=glosses, references=(), task="recognise")
        return
    for_test = max(1, repeats // HELD_OUT)
    split = "test" if before < for_test else "dev" if before == for_test else "train"
    yield replace(sample, text=glosses, split=split, task="isolated")


def _write(manifest: Manifest, folder: Path, samples: Sequence[Sample]) -> Path:
    # Scores on another corpus have a name of their own, and replace no score of the whole clips.
    named = replace(
        manifest, corpus=f"{manifest.corpus}-{folder.name}", root=folder.absolute(), samples=tuple(samples)
    )
    write_manifest(folder / "manifest.jsonl", named)
    return folder / "manifest.jsonl"
