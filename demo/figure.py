"""Drawings of the demo signers: background, body, two jointed arms, hands with handshapes."""

import math
from collections.abc import Sequence

import numpy as np
from PIL import Image, ImageDraw

from .sign_forms import Handshape
from .signers import Colour, Signer, shade
from .signs import BodyPose, HandPose

Point = tuple[float, float]

# Drawn three times too large and averaged down: a finger two pixels wide still moves smoothly.
SUPERSAMPLING = 3
ARM_LENGTH = 0.66
"""Length of the upper arm and of the forearm, in body units (shoulder widths)."""
PALM_RADIUS = 0.17
FINGER_LENGTH = 0.34
FINGER_WIDTH = 0.115
OUTLINE_WIDTH = 0.045

FINGERS: dict[Handshape, tuple[tuple[float, float], ...]] = {
    "fist": (),
    "flat": ((-14, 1.0), (-4, 1.1), (6, 1.1), (16, 1.0)),
    "point": ((0, 1.25),),
    "vee": ((-20, 1.2), (20, 1.2)),
    "spread": ((-62, 0.85), (-30, 1.05), (0, 1.15), (30, 1.05), (62, 0.85)),
    "ring": (),
    "ell": ((0, 1.2), (-90, 1.05)),
    "horns": ((48, 1.05), (-62, 1.05)),
}
"""Stretched fingers of each handshape: degrees from the hand's direction, share of FINGER_LENGTH."""


def draw_clip(signer: Signer, poses: Sequence[BodyPose], *, size: int) -> np.ndarray:
    """Return the frames of a clip, uint8 (T, size, size, 3)."""
    figure = _Figure(signer, side=size * SUPERSAMPLING)
    return np.stack([np.asarray(figure.draw(pose).reduce(SUPERSAMPLING)) for pose in poses])


class _Figure:
    """Signer in a picture of ``side`` pixels. Positions are in body units."""

    def __init__(self, signer: Signer, *, side: int) -> None:
        self.signer = signer
        self.unit = signer.shoulder_width * side
        self.origin = (signer.centre[0] * side, signer.centre[1] * side)
        # Background, trunk and head do not move in a clip, and are drawn once.
        self.still = _draw_background(signer, side)
        self.image = self.still
        self.pen = ImageDraw.Draw(self.still)
        self._draw_trunk()
        self._draw_head()

    def draw(self, pose: BodyPose) -> Image.Image:
        """Return a frame: the still picture with the arms and hands of ``pose``."""
        self.image = self.still.copy()
        self.pen = ImageDraw.Draw(self.image)
        for hand, sign in ((pose[1], 1), (pose[0], -1)):
            self._draw_arm(hand, side=sign)
        # Hands last, and the dominant hand on top: the hands carry the meaning.
        self._draw_hand(pose[1], thumb=-1)
        self._draw_hand(pose[0], thumb=1)
        return self.image

    def _draw_trunk(self) -> None:
        clothing = self.signer.clothing
        self._limb((-0.40, 0.16), (0.40, 0.16), width=0.30, colour=clothing)
        trunk = [(-0.52, 0.12), (0.52, 0.12), (0.44, 1.9), (-0.44, 1.9)]
        self.pen.polygon([self._at(point) for point in trunk], fill=clothing)
        self._limb((0.0, -0.15), (0.0, 0.06), width=0.24, colour=shade(self.signer.skin, 0.88))

    def _draw_head(self) -> None:
        radius, skin, hair = self.signer.head, self.signer.skin, self.signer.hair
        middle = (0.0, -0.22 - radius)
        self._dot((middle[0], middle[1] - 0.10), 1.02 * radius, hair)
        self._ellipse(middle, 0.86 * radius, radius, skin)
        for x in (-0.36 * radius, 0.36 * radius):
            self._dot((x, middle[1] - 0.08), 0.035, (40, 30, 30))
        box = (self._at((-0.09, middle[1] + 0.02)), self._at((0.09, middle[1] + 0.16)))
        self.pen.arc([*box[0], *box[1]], 20, 160, fill=(130, 50, 50), width=max(1, round(0.03 * self.unit)))

    def _draw_arm(self, hand: HandPose, *, side: int) -> None:
        """Draw sleeve and forearm from the shoulder (``side`` -1: the viewer's left) to the wrist."""
        shoulder = (side * 0.46, 0.14)
        wrist = wrist_of(hand, size=self.signer.hand_size)
        elbow = elbow_of(shoulder, wrist, side=side)
        # Darker than the trunk, so that an arm before the body is visible.
        sleeve = shade(self.signer.clothing, 0.84)
        self._limb(shoulder, elbow, width=0.25, colour=sleeve)
        self._limb(elbow, wrist, width=0.19, colour=sleeve)

    def _draw_hand(self, hand: HandPose, *, thumb: int) -> None:
        """Draw a hand. ``thumb`` is the sense of rotation toward the thumb."""
        # Lighter than the face, which the hands often cover.
        skin, centre, size = shade(self.signer.skin, 1.25), (hand.x, hand.y), self.signer.hand_size
        palm, finger, width = size * PALM_RADIUS, size * FINGER_LENGTH, size * FINGER_WIDTH
        edge = shade(self.signer.skin, 0.3)
        fingers = [(hand.degrees + thumb * degrees, length) for degrees, length in FINGERS[hand.handshape]]
        self._dot(centre, palm + OUTLINE_WIDTH, edge)
        tips = [towards(centre, degrees, palm + length * finger) for degrees, length in fingers]
        # All outlines before all fingers: an outline must not cross a finger.
        for tip in tips:
            self._limb(centre, tip, width=width + 2 * OUTLINE_WIDTH, colour=edge)
        for tip in tips:
            self._limb(centre, tip, width=width, colour=skin)
        self._dot(centre, palm, skin)
        if hand.handshape == "ring":
            self._draw_ring(towards(centre, hand.degrees, 0.8 * palm), palm=palm, skin=skin, edge=edge)

    def _draw_ring(self, centre: Point, *, palm: float, skin: Colour, edge: Colour) -> None:
        self._dot(centre, 1.35 * palm + OUTLINE_WIDTH, edge)
        self._dot(centre, 1.35 * palm, skin)
        self._dot(centre, 0.75 * palm, edge)

    def _at(self, point: Point) -> Point:
        return self.origin[0] + point[0] * self.unit, self.origin[1] + point[1] * self.unit

    def _dot(self, centre: Point, radius: float, colour: Colour) -> None:
        self._ellipse(centre, radius, radius, colour)

    def _ellipse(self, centre: Point, width: float, height: float, colour: Colour) -> None:
        (x, y), rx, ry = self._at(centre), width * self.unit, height * self.unit
        self.pen.ellipse([x - rx, y - ry, x + rx, y + ry], fill=colour)

    def _limb(self, start: Point, end: Point, *, width: float, colour: Colour) -> None:
        """Draw a thick line with round ends."""
        pixels = max(1, round(width * self.unit))
        self.pen.line([self._at(start), self._at(end)], fill=colour, width=pixels)
        # Pillow's lines have flat ends.
        for point in (start, end):
            self._dot(point, width / 2, colour)


def wrist_of(hand: HandPose, *, size: float) -> Point:
    """Return the position of the wrist, at the edge of a palm of ``size`` times the usual radius."""
    return towards((hand.x, hand.y), hand.degrees, -0.8 * size * PALM_RADIUS)


def elbow_of(shoulder: Point, wrist: Point, *, side: int) -> Point:
    """Return the position of the elbow: outward and down, and less so if the arm is stretched."""
    dx, dy = wrist[0] - shoulder[0], wrist[1] - shoulder[1]
    # Never 0, which divides below.
    distance = max(math.hypot(dx, dy), 1e-6)
    bend = math.sqrt(max(ARM_LENGTH**2 - (distance / 2) ** 2, 0.0))
    bend = min(bend, 0.42)  # the rest of the arm's length points toward the viewer
    return (
        shoulder[0] + dx / 2 + side * bend * abs(dy) / distance * 0.7,
        shoulder[1] + dy / 2 + bend * (0.3 + 0.7 * abs(dx) / distance),
    )


def towards(point: Point, degrees: float, distance: float) -> Point:
    """Return the position at a distance from a point, in a direction."""
    angle = math.radians(degrees)
    return point[0] + distance * math.cos(angle), point[1] + distance * math.sin(angle)


def _draw_background(signer: Signer, side: int) -> Image.Image:
    """Return a wall, darker toward one side, with a skirting board."""
    shares = np.linspace(0.82, 1.08, side)[None, :, None]
    wall = np.clip(np.asarray(signer.background) * shares, 0, 255).astype(np.uint8)
    image = Image.fromarray(np.repeat(wall, side, axis=0))
    edge = shade(signer.background, 0.7)
    ImageDraw.Draw(image).rectangle([0, round(0.86 * side), side, side], fill=edge)
    return image
