"""True descriptions of the demo's frames: what a perfect multimodal model would say, by a template.

The poses that are drawn say everything: handshape, direction and place of both hands, and the movement to the
next frame. Nothing of the sentence enters a description.
"""

import math
import random
from collections.abc import Mapping, Sequence
from pathlib import Path

from ..core.seeds import derive_seed
from ..corpora.descriptions import description_path, write_descriptions
from ..corpora.manifest import Manifest
from .corpus import DemoConfig, clip_poses, plan_clips
from .signs import DIRECTIONS, LOCATIONS, REST, BodyPose, HandPose

STILL = 0.05
"""Movement in body units below which a hand counts as still."""
_PLACES = {**LOCATIONS, "rest": REST}
_WAYS = {"right": (1, 0), "left": (-1, 0), "down": (0, 1), "up": (0, -1)}
"""Movement in words -> direction, x to the viewer's right and y downward."""


def describe_frame(pose: BodyPose, following: BodyPose) -> str:
    """Return the description of a frame.

    Args:
        pose: poses of both hands in the frame.
        following: poses in the next frame, for the movement.
    """
    # The other hand is described as its mirror image: both hands then share places and directions.
    right = _describe_hand(pose[0], following[0])
    left = _describe_hand(pose[1].mirrored(), following[1].mirrored())
    return f"right hand {right} . left hand {left}"


def write_true_descriptions(
    out: Path, manifest: Manifest, *, config: DemoConfig, seed: int, stride: int, shuffled: bool = False
) -> None:
    """Write description files of a demo corpus, as ``fla describe`` writes them.

    Args:
        out: folder of the files.
        manifest: the corpus as rendered.
        config: sizes of the corpus.
        seed: seed of the corpus.
        stride: distance between described frames.
        shuffled: give each clip the descriptions of another clip of the split, stretched to its length.
    """
    texts = _texts_of_clips(manifest, config=config, seed=seed)
    for split in ("train", "dev", "test"):
        ids = [sample.id for sample in manifest.split(split)]
        givers = _others(ids, seed=seed) if shuffled else {id: id for id in ids}
        entries = [
            {"id": id, "frame": frame, "text": _stretched(texts[givers[id]], frame, len(texts[id]))}
            for id in ids
            for frame in range(0, len(texts[id]), stride)
        ]
        header = {
            "corpus": manifest.corpus, "split": split, "revision": "1",
            "model": "template, shuffled" if shuffled else "template", "prompt": "",
            "settings": {"frame_stride": stride},
        }  # fmt: skip
        write_descriptions(description_path(out, split, 0, 1), header, entries)


def _describe_hand(hand: HandPose, following: HandPose) -> str:
    moved = following.x - hand.x, following.y - hand.y
    way = "still"
    if math.hypot(*moved) >= STILL:
        way = max(_WAYS, key=lambda name: moved[0] * _WAYS[name][0] + moved[1] * _WAYS[name][1])
    # Angles go round: -170 degrees is near 180.
    pointing = min(DIRECTIONS, key=lambda name: abs((DIRECTIONS[name] - hand.degrees + 180) % 360 - 180))
    place = min(_PLACES, key=lambda name: math.dist(_PLACES[name], (hand.x, hand.y)))
    return f"shape {hand.handshape} fingers {pointing} at {place} moving {way}"


def _texts_of_clips(manifest: Manifest, *, config: DemoConfig, seed: int) -> dict[str, list[str]]:
    """Return the description of every frame by clip."""
    known = {sample.id for sample in manifest.samples}
    texts = {}
    for plan in plan_clips(config, seed=seed):
        # A trial's manifest holds the first clips of each split alone.
        if plan.id in known:
            _, poses = clip_poses(plan)
            texts[plan.id] = [
                describe_frame(pose, poses[min(frame + 1, len(poses) - 1)])
                for frame, pose in enumerate(poses)
            ]
    return texts


def _others(ids: Sequence[str], *, seed: int) -> Mapping[str, str]:
    """Return another clip for each clip, each used once."""
    order = list(ids)
    random.Random(derive_seed(seed, "other descriptions")).shuffle(order)
    # A cycle: no clip keeps its own.
    return dict(zip(order, [*order[1:], order[0]], strict=True))


def _stretched(texts: Sequence[str], frame: int, num_frames: int) -> str:
    return texts[frame * len(texts) // num_frames]
