"""True key points of the demo signers: 133 points in the order of COCO-WholeBody, from the drawn poses.

The points are the renderer's own, without the errors of a detector: each has the same score.
"""

import math
from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from ..corpora.manifest import Manifest
from ..poses.array_files import write_npz
from ..poses.clip import PoseClip, make_clip
from .corpus import DemoConfig, clip_poses, plan_clips
from .figure import FINGER_LENGTH, FINGERS, PALM_RADIUS, Point, elbow_of, towards, wrist_of
from .sign_forms import Handshape
from .signers import Signer
from .signs import BodyPose, HandPose

SCORE = 0.9
_LEFT_HAND, _RIGHT_HAND, _FACE = 91, 112, 23
# Fingers from thumb to little: the angle of a folded one, in degrees from the hand's direction.
_FOLDED = (60.0, 24.0, 8.0, -8.0, -24.0)
_FOLDED_LENGTH = 0.6  # of the palm: a folded finger does not leave it
_STRETCHED: dict[Handshape, tuple[int, ...]] = {
    "fist": (), "flat": (4, 3, 2, 1), "point": (1,), "vee": (2, 1), "spread": (4, 3, 2, 1, 0), "ring": (),
    "ell": (1, 0), "horns": (1, 4),
}  # fmt: skip
"""Finger of each entry of :data:`.figure.FINGERS`, 0 for the thumb."""


def key_points(signer: Signer, poses: Sequence[BodyPose], *, fps: float) -> PoseClip:
    """Return the key points of a clip. Points that the figure lacks, such as hips, are missing."""
    frames = np.stack([_frame(signer, pose) for pose in poses])  # (T, 133, 2) in body units
    places = np.asarray(signer.centre) + signer.shoulder_width * frames
    scores = np.where(np.isfinite(frames).all(-1), SCORE, 0.0)
    return make_clip(places, scores, origin="the demo", fps=fps)


def write_key_points(manifest: Manifest, *, config: DemoConfig, seed: int) -> Manifest:
    """Write the key points of all clips of a demo corpus, and return the manifest with the pose files.

    Args:
        manifest: the corpus as rendered.
        config: sizes of the corpus.
        seed: seed of the corpus.
    """
    samples = []
    for sample, plan in zip(manifest.samples, plan_clips(config, seed=seed), strict=True):
        place = f"poses/{plan.split}/{plan.id.rpartition('-')[2]}.npz"
        (manifest.root / place).parent.mkdir(parents=True, exist_ok=True)
        clip = key_points(*clip_poses(plan), fps=config.fps)
        write_npz(manifest.root / place, clip, size=(config.image_size, config.image_size))
        samples.append(replace(sample, poses=place))
    return replace(manifest, samples=tuple(samples))


def _frame(signer: Signer, pose: BodyPose) -> np.ndarray:
    points = np.full((133, 2), np.nan)
    radius, middle = signer.head, (0.0, -0.22 - signer.head)
    points[0] = middle[0], middle[1] + 0.02
    points[3], points[4] = (0.86 * radius, middle[1]), (-0.86 * radius, middle[1])
    # The dominant hand is the right hand, on the viewer's left.
    for hand, side, thumb, joint, start in (
        (pose[1], 1, -1, 5, _LEFT_HAND), (pose[0], -1, 1, 6, _RIGHT_HAND),
    ):  # fmt: skip
        shoulder, wrist = (side * 0.46, 0.14), wrist_of(hand, size=signer.hand_size)
        points[joint], points[joint + 2] = shoulder, elbow_of(shoulder, wrist, side=side)
        points[joint + 4] = wrist
        points[start : start + 21] = [wrist, *_fingers(hand, thumb=thumb, size=signer.hand_size)]
    points[_FACE : _FACE + 68] = _face(middle, radius)
    return points


def _fingers(hand: HandPose, *, thumb: int, size: float) -> list[Point]:
    """Return four points of each finger, from thumb to little finger, from palm to tip."""
    palm = size * PALM_RADIUS
    reach = {finger: (angle, _FOLDED_LENGTH * palm) for finger, angle in enumerate(_FOLDED)}
    for finger, (angle, length) in zip(_STRETCHED[hand.handshape], FINGERS[hand.handshape], strict=True):
        reach[finger] = angle, palm + size * length * FINGER_LENGTH
    points = []
    for finger in range(5):
        angle, length = reach[finger]
        shares = (0.4, 0.6, 0.8, 1.0)
        if hand.handshape == "ring" and finger < 2:
            points += _half_ring(hand, side=thumb if finger == 0 else -thumb, palm=palm)
        else:
            points += [
                towards((hand.x, hand.y), hand.degrees + thumb * angle, share * length) for share in shares
            ]
    return points


def _half_ring(hand: HandPose, *, side: int, palm: float) -> list[Point]:
    """Return the points of the thumb or the index finger, which meet in a ring."""
    centre = towards((hand.x, hand.y), hand.degrees, 0.8 * palm)
    angles = (135.0, 90.0, 45.0, 0.0)
    return [towards(centre, hand.degrees + side * angle, 1.35 * palm) for angle in angles]


def _face(middle: Point, radius: float) -> np.ndarray:
    """Return 68 points of a still face: jaw, brows, nose, eyes and lips."""
    face = np.tile(np.asarray(middle), (68, 1))
    for number in range(17):  # the jaw, from the viewer's left ear to the right ear
        angle = math.pi * (1 - number / 16)
        face[number] += 0.8 * radius * math.cos(angle), 0.95 * radius * math.sin(angle)
    for start, count, width in ((48, 12, 0.09), (60, 8, 0.06)):  # outer and inner lips
        for number in range(count):
            angle = math.pi * (1 + 2 * number / count)
            face[start + number] += width * math.cos(angle), 0.12 + 0.4 * width * math.sin(angle)
    face[30] = middle[0], middle[1] + 0.02
    return face
