"""Draw docs/pictures/pose_layout.svg: the 69 points in their parts, with the edges of the graphs.

Run: python docs/pictures/pose_layout.py
"""

import math
from collections.abc import Iterator, Mapping
from pathlib import Path

from fla_llm.poses.graph import EDGES
from fla_llm.poses.layouts import PARTS

PICTURE = Path(__file__).with_name("pose_layout.svg")
WIDTH, HEIGHT = 980, 430
Place = tuple[float, float]
STYLE = """\
text { font: 12px system-ui, 'Segoe UI', Helvetica, Arial, sans-serif; fill: #4a5568 }
.title { font-size: 15px; font-weight: 600; fill: #1a202c }
line { stroke: #2b6cb0; stroke-width: 2 } .nose { stroke: #2b6cb055; stroke-width: 1 }
circle { fill: #f6f1e4; stroke: #b8860b; stroke-width: 1.6 } .root { fill: #b8860b }
@media (prefers-color-scheme: dark) {
  text { fill: #b3bdcb } .title { fill: #edf2f7 }
  line { stroke: #63a4e8 } .nose { stroke: #63a4e866 }
  circle { fill: #3a3118; stroke: #d6a72b } .root { fill: #d6a72b }
}"""
FINGERS = 5
BODY_CENTER = 140.0
ROOTS = {"body": 0, "right": 0, "left": 0, "face": 17}
"""Point in the middle of a part. Hands and face are relative to this point."""


def picture() -> str:
    """Return the picture as SVG."""
    parts = {
        "body": ("body, 9 points", body()),
        "right": ("right hand, 21 points", hand(375, mirrored=False)),
        "left": ("left hand, 21 points", hand(600, mirrored=True)),
        "face": ("face, 18 points", face()),
    }
    drawn = [line for part, (title, places) in parts.items() for line in draw(part, title, places)]
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {HEIGHT}" role="img">\n'
        "<title>The 69 points of the layout uni-sign in four parts, with the edges of the graphs</title>\n"
        f"<style>{STYLE}</style>\n" + "\n".join(drawn) + "\n</svg>\n"
    )


def body() -> dict[int, Place]:
    """Return the places of nose, ears, shoulders, elbows and wrists. The signer looks at the reader."""
    half = [(0, 90), (28, 70), (90, 150), (118, 250), (72, 330)]
    places = {0: (BODY_CENTER, 90.0)}
    for number, (x, y) in enumerate(half[1:]):
        # The signer's left is on the right of the picture.
        places[1 + 2 * number], places[2 + 2 * number] = (BODY_CENTER + x, y), (BODY_CENTER - x, y)
    return places


def hand(center: int, *, mirrored: bool) -> dict[int, Place]:
    """Return the places of a wrist and five fingers of four points."""
    sign = -1 if mirrored else 1
    places: dict[int, Place] = {0: (center, 370)}
    for finger in range(FINGERS):
        angle = math.radians(-52 + 24 * finger)
        # The thumb begins lower, and the middle finger is the longest.
        lengths = [70, 105, 140, 172] if finger == 0 else [120, 160, 195, 228 - 9 * abs(finger - 2)]
        for joint, length in enumerate(lengths):
            x, y = center - sign * math.sin(-angle) * length * 0.62, 370 - math.cos(angle) * length
            places[1 + 4 * finger + joint] = (x, y)
    return places


def face() -> dict[int, Place]:
    """Return the places of jaw, inner lips and tip of the nose."""
    center = 850
    jaw = [math.radians(180 - 22.5 * point) for point in range(9)]
    places = {p: (center + 95 * math.cos(a), 190 + 150 * math.sin(a)) for p, a in enumerate(jaw)}
    lips = [math.radians(180 + 45 * point) for point in range(8)]
    places |= {9 + p: (center + 46 * math.cos(a), 275 + 26 * math.sin(a)) for p, a in enumerate(lips)}
    return places | {17: (center, 195)}


def draw(part: str, title: str, places: Mapping[int, Place]) -> Iterator[str]:
    """Yield SVG of a part: edges, points with their numbers, the title."""
    assert len(places) == PARTS[part]
    middle = places[ROOTS[part]][0]
    yield f'<text class="title" x="{middle:.0f}" y="28" text-anchor="middle">{title}</text>'
    for one, other in EDGES[part]:
        (x1, y1), (x2, y2) = places[one], places[other]
        # Seventeen edges meet in the tip of the nose, and would hide the others.
        style = ' class="nose"' if part == "face" and 17 in (one, other) else ""
        yield f'<line{style} x1="{x1:.0f}" y1="{y1:.0f}" x2="{x2:.0f}" y2="{y2:.0f}"/>'
    for number, (x, y) in places.items():
        style = ' class="root"' if part != "body" and number == ROOTS[part] else ""
        yield f'<circle{style} cx="{x:.0f}" cy="{y:.0f}" r="5"/>'
        yield f'<text x="{x + 8:.0f}" y="{y - 6:.0f}">{number}</text>'


if __name__ == "__main__":
    PICTURE.write_text(picture(), encoding="utf-8")
