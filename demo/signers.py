"""Signers of the demo corpus: build, colours, background, position in the picture, tempo."""

import random
from dataclasses import dataclass, replace

from .signs import PLAIN, Manner

Colour = tuple[int, int, int]


@dataclass(frozen=True, kw_only=True)
class Signer:
    """Look, position and tempo of a signer."""

    name: str
    skin: Colour
    hair: Colour
    clothing: Colour
    background: Colour
    shoulder_width: float
    """Length of a body unit, as a share of the picture's side."""
    head: float
    """Radius of the head in body units."""
    centre: tuple[float, float]
    """Base of the neck, as shares of the picture's side."""
    tempo: float
    hand_size: float = 1.0
    """Factor of the size of palms and fingers."""


SIGNERS = (
    Signer(
        name="ada", skin=(241, 194, 160), hair=(94, 58, 34), clothing=(40, 78, 130),
        background=(196, 206, 214), shoulder_width=0.42, head=0.32, centre=(0.50, 0.47), tempo=1.00,
    ),
    Signer(
        name="ben", skin=(141, 92, 62), hair=(28, 22, 20), clothing=(192, 170, 60),
        background=(158, 184, 172), shoulder_width=0.46, head=0.31, centre=(0.53, 0.46), tempo=1.08,
    ),
    Signer(
        name="cai", skin=(226, 178, 134), hair=(20, 20, 24), clothing=(96, 44, 66),
        background=(222, 212, 190), shoulder_width=0.41, head=0.33, centre=(0.48, 0.48), tempo=0.93,
    ),
    Signer(
        name="dag", skin=(248, 212, 188), hair=(196, 160, 90), clothing=(46, 96, 70),
        background=(150, 160, 190), shoulder_width=0.47, head=0.30, centre=(0.51, 0.45), tempo=1.04,
    ),
    Signer(
        name="efe", skin=(98, 64, 46), hair=(16, 14, 14), clothing=(206, 206, 210),
        background=(150, 172, 190), shoulder_width=0.43, head=0.32, centre=(0.46, 0.47), tempo=0.96,
    ),
    Signer(
        name="fay", skin=(232, 186, 156), hair=(150, 70, 36), clothing=(54, 54, 60),
        background=(186, 150, 140), shoulder_width=0.40, head=0.33, centre=(0.52, 0.49), tempo=1.12,
    ),
    Signer(
        name="gus", skin=(186, 132, 96), hair=(60, 44, 40), clothing=(130, 60, 44),
        background=(168, 188, 160), shoulder_width=0.45, head=0.31, centre=(0.49, 0.47), tempo=0.90,
    ),
    Signer(
        name="hal", skin=(206, 152, 112), hair=(110, 110, 112), clothing=(84, 74, 120),
        background=(206, 196, 220), shoulder_width=0.44, head=0.32, centre=(0.51, 0.48), tempo=1.02,
    ),
    Signer(
        name="ivo", skin=(214, 164, 128), hair=(52, 36, 28), clothing=(150, 150, 160),
        background=(140, 168, 150), shoulder_width=0.42, head=0.31, centre=(0.49, 0.48), tempo=0.98,
    ),
    Signer(
        name="jin", skin=(236, 196, 158), hair=(24, 22, 26), clothing=(70, 110, 140),
        background=(214, 198, 176), shoulder_width=0.45, head=0.32, centre=(0.52, 0.46), tempo=1.05,
    ),
    Signer(
        name="kay", skin=(120, 78, 54), hair=(40, 26, 20), clothing=(170, 90, 110),
        background=(190, 196, 206), shoulder_width=0.41, head=0.33, centre=(0.47, 0.47), tempo=0.94,
    ),
    Signer(
        name="lou", skin=(244, 204, 176), hair=(168, 110, 60), clothing=(60, 60, 96),
        background=(172, 184, 140), shoulder_width=0.46, head=0.30, centre=(0.50, 0.46), tempo=1.10,
    ),
    Signer(
        name="mia", skin=(160, 108, 76), hair=(34, 24, 20), clothing=(220, 200, 180),
        background=(130, 150, 170), shoulder_width=0.43, head=0.32, centre=(0.51, 0.48), tempo=1.00,
    ),
    Signer(
        name="nik", skin=(228, 182, 148), hair=(120, 84, 50), clothing=(110, 40, 50),
        background=(200, 208, 190), shoulder_width=0.44, head=0.31, centre=(0.48, 0.46), tempo=0.95,
    ),
    Signer(
        name="oya", skin=(88, 58, 42), hair=(18, 16, 18), clothing=(120, 140, 90),
        background=(210, 190, 170), shoulder_width=0.42, head=0.33, centre=(0.53, 0.47), tempo=1.06,
    ),
    Signer(
        name="pia", skin=(250, 216, 194), hair=(210, 180, 120), clothing=(50, 90, 120),
        background=(170, 150, 160), shoulder_width=0.45, head=0.31, centre=(0.49, 0.49), tempo=1.02,
    ),
)  # fmt: skip
"""Signers. A language takes the first of these (:mod:`.language`)."""


def jitter(signer: Signer, rng: random.Random, *, manner: Manner = PLAIN) -> Signer:
    """Return the signer with small changes of distance, position, light and tempo, as on another day.

    Args:
        signer: the signer.
        rng: source of the changes.
        manner: manner of the language: hands, and the range of the tempo.
    """
    x, y = signer.centre
    jittered = replace(
        signer,
        centre=(x + rng.uniform(-0.02, 0.02), y + rng.uniform(-0.02, 0.02)),
        shoulder_width=signer.shoulder_width * rng.uniform(0.95, 1.05),
        background=shade(signer.background, rng.uniform(0.9, 1.08)),
        tempo=signer.tempo * rng.uniform(0.95, 1.05),
        hand_size=signer.hand_size * manner.hand_size,
    )
    # No draw for a single tempo, so that languages without a range keep their clips.
    if manner.tempo == PLAIN.tempo:
        return jittered
    return replace(jittered, tempo=jittered.tempo * rng.uniform(*manner.tempo))


def shade(colour: Colour, factor: float) -> Colour:
    """Return a lighter (``factor`` above 1) or darker colour."""
    red, green, blue = (min(255, round(channel * factor)) for channel in colour)
    return red, green, blue
