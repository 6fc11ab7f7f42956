"""Form of each demo sign, and path of the two hands through a signed sentence.

A sign has a handshape, a direction of the fingers, a location on the body, a movement, and a role of the
other hand. Some pairs of signs differ in a single parameter.

Positions are in *body units*: the origin is the base of the neck, a unit is the signer's shoulder width, x
grows to the viewer's right and y downward. The dominant hand is the signer's right hand, on the viewer's left
(x < 0).
"""

import math
import random
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Literal

Handshape = Literal["fist", "flat", "point", "vee", "spread", "ring", "ell", "horns"]
OtherHand = Literal["rests", "mirrors", "holds"]

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


@dataclass(frozen=True)
class SignForm:
    """Parameters of a sign."""

    handshape: Handshape
    pointing: str
    location: str
    movement: str
    other: OtherHand = "rests"


SIGN_FORMS: dict[str, SignForm] = {
    "boy": SignForm("ell", "in", "forehead", "tap"),
    "girl": SignForm("point", "up", "cheek", "down"),
    "man": SignForm("spread", "up", "chest", "tap"),
    "woman": SignForm("ring", "up", "cheek", "tap"),
    "teacher": SignForm("flat", "up", "temple", "out", "mirrors"),
    "doctor": SignForm("vee", "in", "chest", "tap", "holds"),
    "old": SignForm("fist", "up", "mouth", "down"),
    "young": SignForm("flat", "up", "side", "up", "mirrors"),
    "happy": SignForm("flat", "in", "chest", "circle"),
    "apple": SignForm("fist", "up", "cheek", "shake"),
    "bread": SignForm("flat", "down", "chest", "down", "holds"),
    "soup": SignForm("vee", "in", "belly", "up", "holds"),
    "milk": SignForm("fist", "up", "side", "shake"),
    "tea": SignForm("ring", "down", "chest", "circle", "holds"),
    "water": SignForm("spread", "up", "mouth", "tap"),
    "book": SignForm("flat", "up", "belly", "out", "mirrors"),
    "letter": SignForm("fist", "in", "belly", "tap", "holds"),
    "dog": SignForm("flat", "down", "low", "tap"),
    "cat": SignForm("ring", "in", "cheek", "out", "mirrors"),
    "bird": SignForm("ell", "in", "mouth", "tap"),
    "eat": SignForm("flat", "slanted", "mouth", "tap"),
    "drink": SignForm("horns", "up", "mouth", "up"),
    "read": SignForm("vee", "down", "belly", "shake", "holds"),
    "see": SignForm("vee", "up", "forehead", "out"),
    "buy": SignForm("flat", "in", "belly", "arc", "holds"),
    "red": SignForm("point", "up", "mouth", "down"),
    "white": SignForm("spread", "in", "chest", "out"),
    "big": SignForm("ell", "up", "chest", "out", "mirrors"),
    "house": SignForm("flat", "slanted", "forehead", "roof", "mirrors"),
    "garden": SignForm("spread", "up", "belly", "up", "mirrors"),
    "school": SignForm("flat", "in", "chest", "tap", "mirrors"),
    "today": SignForm("horns", "in", "belly", "tap", "mirrors"),
    "yesterday": SignForm("horns", "up", "cheek", "arc"),
    "tomorrow": SignForm("point", "up", "temple", "arc"),
    "morning": SignForm("flat", "up", "low", "up", "holds"),
    "not": SignForm("point", "up", "high", "shake"),
}


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

RESTING = HandPose(x=REST[0], y=REST[1], degrees=90.0, handshape="fist")
RESTING_BODY: BodyPose = (RESTING, RESTING.mirrored())


def sentence_poses(signs: Sequence[str], *, tempo: float, rng: random.Random) -> list[BodyPose]:
    """Return the poses of both hands per frame: rest, each sign with a transition before it, rest.

    Args:
        signs: keys of SIGN_FORMS, in signing order.
        tempo: factor of the speed. 1 gives SIGN_FRAMES per sign.
        rng: source of random durations and positions.
    """
    poses: list[BodyPose] = [RESTING_BODY]
    for sign in signs:
        performed = _sign_poses(SIGN_FORMS[sign], tempo=tempo, rng=rng)
        poses += _transition(poses[-1], performed[0], frames=_draw_frames(TRANSITION_FRAMES / tempo, rng))
        poses += performed
    poses += _transition(poses[-1], RESTING_BODY, frames=_draw_frames(TRANSITION_FRAMES / tempo, rng))
    return [*poses, RESTING_BODY]


def _draw_frames(mean: float, rng: random.Random) -> int:
    return max(1, math.floor(mean + rng.uniform(-0.3, 0.3) + rng.random()))


def _sign_poses(form: SignForm, *, tempo: float, rng: random.Random) -> list[BodyPose]:
    # With fewer than three frames, a movement would show only its ends.
    frames = max(3, _draw_frames(SIGN_FRAMES / tempo, rng))
    # No two performances of a sign are equal: a model must not learn exact positions.
    dx, dy, turn = rng.gauss(0, 0.03), rng.gauss(0, 0.03), rng.gauss(0, 6)
    return [_body_pose(form, index / (frames - 1), dx=dx, dy=dy, turn=turn) for index in range(frames)]


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
