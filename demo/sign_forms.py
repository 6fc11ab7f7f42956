"""Forms of the demo's signs, for each of its two languages.

A sign has a handshape, a direction of the fingers, a location on the body, a movement, and a role of the
other hand.
"""

from dataclasses import dataclass
from typing import Literal

Handshape = Literal["fist", "flat", "point", "vee", "spread", "ring", "ell", "horns"]
OtherHand = Literal["rests", "mirrors", "holds"]


@dataclass(frozen=True)
class SignForm:
    """Parameters of a sign."""

    handshape: Handshape
    pointing: str
    location: str
    movement: str
    other: OtherHand = "rests"


ROLE_FORMS: dict[str, SignForm] = {
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
"""Signs of :mod:`.grammar`. Some pairs of signs differ in a single parameter."""

# Chosen one after the other from all combinations: each is the farthest from those before it, in path,
# handshape, direction and role of the other hand. In pictures of 32 pixels, similar signs look the same.
ORDER_FORMS: dict[str, SignForm] = {
    "anna": SignForm("flat", "up", "low", "roof", "mirrors"),
    "dog": SignForm("horns", "down", "forehead", "arc"),
    "ben": SignForm("fist", "up", "chest", "circle", "holds"),
    "cat": SignForm("horns", "slanted", "side", "arc"),
    "clara": SignForm("horns", "down", "belly", "roof"),
    "teacher": SignForm("flat", "down", "high", "arc"),
    "david": SignForm("flat", "up", "cheek", "down", "mirrors"),
    "horse": SignForm("flat", "down", "chest", "roof", "mirrors"),
    "emma": SignForm("flat", "up", "belly", "circle"),
    "doctor": SignForm("fist", "up", "temple", "arc", "mirrors"),
    "felix": SignForm("horns", "slanted", "chest", "up", "mirrors"),
    "bird": SignForm("point", "down", "mouth", "up"),
    "greta": SignForm("horns", "in", "low", "arc"),
    "child": SignForm("fist", "up", "side", "down"),
    "hugo": SignForm("ell", "down", "cheek", "roof"),
    "farmer": SignForm("horns", "up", "mouth", "circle"),
    "ida": SignForm("fist", "up", "low", "circle"),
    "king": SignForm("flat", "slanted", "forehead", "arc"),
    "jonas": SignForm("fist", "up", "belly", "down", "holds"),
    "cow": SignForm("flat", "down", "side", "arc"),
    "karl": SignForm("horns", "slanted", "high", "arc"),
    "fox": SignForm("flat", "down", "temple", "circle", "mirrors"),
    "lena": SignForm("spread", "down", "chest", "down", "holds"),
    "queen": SignForm("point", "in", "belly", "roof", "mirrors"),
    "max": SignForm("point", "slanted", "high", "down"),
    "wolf": SignForm("flat", "up", "side", "circle"),
    "nora": SignForm("flat", "up", "chest", "out", "holds"),
    "baker": SignForm("spread", "up", "temple", "arc", "mirrors"),
    "otto": SignForm("fist", "up", "cheek", "circle", "mirrors"),
    "paul": SignForm("flat", "down", "belly", "down"),
    "see": SignForm("spread", "up", "belly", "arc", "mirrors"),
    "hear": SignForm("spread", "in", "cheek", "circle", "mirrors"),
    "like": SignForm("ell", "slanted", "belly", "up", "holds"),
    "help": SignForm("flat", "slanted", "mouth", "circle"),
    "find": SignForm("point", "in", "chest", "circle", "mirrors"),
    "follow": SignForm("fist", "up", "chest", "roof", "mirrors"),
    "visit": SignForm("flat", "in", "low", "circle"),
    "call": SignForm("point", "down", "chest", "arc", "holds"),
    "know": SignForm("vee", "up", "temple", "circle"),
    "love": SignForm("vee", "in", "mouth", "roof"),
    "introduce": SignForm("flat", "in", "belly", "arc", "holds"),
    "show": SignForm("spread", "in", "low", "down", "mirrors"),
    "send": SignForm("point", "in", "forehead", "roof", "mirrors"),
    "bring": SignForm("spread", "down", "side", "down"),
    "old": SignForm("spread", "down", "high", "down"),
    "young": SignForm("spread", "slanted", "forehead", "down"),
    "big": SignForm("spread", "down", "belly", "circle", "mirrors"),
    "small": SignForm("flat", "down", "mouth", "down", "mirrors"),
    "happy": SignForm("spread", "up", "chest", "circle"),
    "tired": SignForm("horns", "up", "temple", "roof"),
    "brave": SignForm("horns", "up", "mouth", "down", "mirrors"),
    "clever": SignForm("spread", "down", "mouth", "down"),
    "angry": SignForm("vee", "down", "temple", "arc"),
    "house": SignForm("vee", "in", "side", "roof"),
    "garden": SignForm("vee", "up", "belly", "roof"),
    "school": SignForm("vee", "up", "low", "circle", "mirrors"),
    "town": SignForm("ring", "up", "low", "roof", "mirrors"),
    "farm": SignForm("spread", "down", "chest", "arc", "mirrors"),
    "forest": SignForm("horns", "down", "chest", "arc", "holds"),
    "today": SignForm("vee", "in", "chest", "shake", "holds"),
    "now": SignForm("ring", "up", "belly", "up", "mirrors"),
    "often": SignForm("vee", "up", "chest", "arc", "mirrors"),
    "again": SignForm("ell", "in", "temple", "up", "mirrors"),
    "sometimes": SignForm("vee", "down", "belly", "circle", "holds"),
}
"""Signs of :mod:`.order_grammar`."""
