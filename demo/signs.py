"""Path of the two hands through a signed sentence.

Positions are in *body units*: the origin is the base of the neck, a unit is the signer's shoulder width, x
grows to the viewer's right and y downward. The dominant hand is the signer's right hand, on the viewer's left
(x < 0).
"""

import math
import random
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import pairwise

from .sign_forms import ROLE_FORMS, Handshape, SignForm

LOCATIONS = {
    "forehead": (-0.12, -0.66), "temple": (-0.46, -0.62), "cheek": (-0.36, -0.34), "mouth": (-0.04, -0.28),
    "chest": (-0.12, 0.30), "belly": (-0.15, 0.80), "side": (-0.80, 0.15), "high": (-0.82, -0.50),
    "low": (-0.72, 0.85),
}  # fmt: skip
DIRECTIONS = {"up": -90.0, "slanted": -45.0, "in": 0.0, "down": 90.0}
"""Direction of the fingers, in degrees clockwise from the viewer's right."""

REST = (-0.55, 1.12)
SIGN_FRAMES = 4.2
"""Mean number of frames of a sign at tempo 1. A transition takes TRANSITION_FRAMES more."""
TRANSITION_FRAMES = 1.5
REACH = 0.30
"""Length of a movement in body units."""


@dataclass(frozen=True, kw_only=True)
class HandPose:
    """Pose of a hand in a frame: position of the palm (body units), direction, handshape."""

    x: float
    y: float
    degrees: float
    handshape: Handshape

    def mirrored(self) -> "HandPose":
        """Return the mirrored pose, for the other hand."""
        return replace(self, x=-self.x, degrees=180.0 - self.degrees)


BodyPose = tuple[HandPose, HandPose]
"""Poses of the dominant hand and the other hand."""

Offset = tuple[float, float]
"""Movement in body units."""

RESTING = HandPose(x=REST[0], y=REST[1], degrees=90.0, handshape="fist")
RESTING_BODY: BodyPose = (RESTING, RESTING.mirrored())


@dataclass(frozen=True, kw_only=True)
class Manner:
    """Manner of signing that all signers of a language share."""

    bend: float = 0.0
    """Coarticulation: share of the way to the neighbouring sign that the begin and the end of a sign move."""
    dropped: float = 0.0
    """Share of two-handed signs that are signed with the dominant hand alone."""
    tempo: tuple[float, float] = (1.0, 1.0)
    """Lowest and highest factor of a clip's tempo."""
    hand_size: float = 1.0
    """Factor of the size of palms and fingers."""


PLAIN = Manner()


def sentence_poses(
    signs: Sequence[str],
    *,
    tempo: float,
    rng: random.Random,
    forms: Mapping[str, SignForm] = ROLE_FORMS,
    manner: Manner = PLAIN,
) -> list[BodyPose]:
    """Return the poses of both hands per frame: rest, each sign with a transition before it, rest.

    Args:
        signs: keys of ``forms``, in signing order.
        tempo: factor of the speed. 1 gives SIGN_FRAMES per sign.
        rng: source of random durations and positions.
        forms: signs of the language.
        manner: manner of signing.
    """
    poses: list[BodyPose] = [RESTING_BODY]
    performed = [_performed(forms[sign], dropped=manner.dropped, rng=rng) for sign in signs]
    for form, bend in zip(performed, _bends(performed, manner.bend), strict=True):
        sign_poses = _sign_poses(form, tempo=tempo, rng=rng, bend=bend)
        poses += _transition(poses[-1], sign_poses[0], frames=_draw_frames(TRANSITION_FRAMES / tempo, rng))
        poses += sign_poses
    poses += _transition(poses[-1], RESTING_BODY, frames=_draw_frames(TRANSITION_FRAMES / tempo, rng))
    return [*poses, RESTING_BODY]


def _performed(form: SignForm, *, dropped: float, rng: random.Random) -> SignForm:
    """Return the form as signed: sometimes without the other hand."""
    # No draw without a share, so that languages without it keep their clips.
    if dropped and form.other != "rests" and rng.random() < dropped:
        return replace(form, other="rests")
    return form


def _bends(forms: Sequence[SignForm], share: float) -> list[tuple[Offset, Offset]]:
    """Return the offsets of the begin and the end of each sign, towards the signs before and after."""
    steps = [(0.0, 0.0)]
    for one, other in pairwise(forms):
        (x, y), (next_x, next_y) = LOCATIONS[one.location], LOCATIONS[other.location]
        steps.append((share * (next_x - x), share * (next_y - y)))
    steps.append((0.0, 0.0))  # a sign beside the rest is not bent
    return [((-before[0], -before[1]), after) for before, after in pairwise(steps)]


def _draw_frames(mean: float, rng: random.Random) -> int:
    return max(1, math.floor(mean + rng.uniform(-0.3, 0.3) + rng.random()))


def _sign_poses(
    form: SignForm, *, tempo: float, rng: random.Random, bend: tuple[Offset, Offset]
) -> list[BodyPose]:
    # With fewer than three frames, a movement would show only its ends.
    frames = max(3, _draw_frames(SIGN_FRAMES / tempo, rng))
    # No two performances of a sign are equal: a model must not learn exact positions.
    dx, dy, turn = rng.gauss(0, 0.03), rng.gauss(0, 0.03), rng.gauss(0, 6)
    (begin_x, begin_y), (end_x, end_y) = bend
    poses: list[BodyPose] = []
    for index in range(frames):
        share = index / (frames - 1)
        bent_x = dx + (1 - share) * begin_x + share * end_x
        bent_y = dy + (1 - share) * begin_y + share * end_y
        poses.append(_body_pose(form, share, dx=bent_x, dy=bent_y, turn=turn))
    return poses


def _body_pose(form: SignForm, share: float, *, dx: float, dy: float, turn: float) -> BodyPose:
    """Return the pose of both hands at ``share`` (0-1) of the sign."""
    x, y = LOCATIONS[form.location]
    if form.other == "mirrors":
        x = min(x, -0.30)  # the hands meet, they do not cross
    moved_x, moved_y = _movement(form.movement, share)
    hand = HandPose(
        x=x + dx + moved_x, y=y + dy + moved_y,
        degrees=DIRECTIONS[form.pointing] + turn, handshape=form.handshape,
    )  # fmt: skip
    if form.other == "mirrors":
        return hand, hand.mirrored()
    if form.other == "holds":
        held = HandPose(x=x + dx + 0.18, y=y + dy + 0.24, degrees=170.0 + turn, handshape="flat")
        return hand, held
    return hand, RESTING.mirrored()


def _movement(movement: str, share: float) -> tuple[float, float]:
    """Return the offset of the hand from the location, in body units, at ``share`` (0-1) of the path."""
    # Slow at both ends, as hands move. The swing starts and ends at the location.
    eased = share * share * (3 - 2 * share)
    swing = math.sin(2 * math.pi * share)
    paths = {
        "up": (0.0, REACH * (0.4 - eased)),
        "down": (0.0, REACH * (eased - 0.2)),
        "out": (-REACH * eased, 0.0),
        "tap": (-0.4 * REACH * abs(swing), -0.1 * REACH * abs(swing)),
        "shake": (0.55 * REACH * swing, 0.0),
        "circle": (0.6 * REACH * math.cos(2 * math.pi * share), 0.6 * REACH * swing),
        "arc": (-REACH * eased, -0.8 * REACH * math.sin(math.pi * share)),
        "roof": (-REACH * eased, 0.9 * REACH * eased),
    }
    return paths[movement]


def _transition(start: BodyPose, end: BodyPose, *, frames: int) -> list[BodyPose]:
    """Return the frames strictly between two poses."""
    shares = [(index + 1) / (frames + 1) for index in range(frames)]
    return [(_between(start[0], end[0], s), _between(start[1], end[1], s)) for s in shares]


def _between(start: HandPose, end: HandPose, share: float) -> HandPose:
    # The shorter way round.
    turn = (end.degrees - start.degrees + 180.0) % 360.0 - 180.0
    return HandPose(
        x=start.x + share * (end.x - start.x),
        y=start.y + share * (end.y - start.y),
        degrees=start.degrees + share * turn,
        # Handshapes are drawn from a list, without forms between them.
        handshape=start.handshape if share < 0.5 else end.handshape,
    )
