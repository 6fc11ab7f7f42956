"""Skeleton layouts: the order of key points in files, and the 69 points that the encoder reads.

The 69 points are those of Uni-Sign (Li et al., ICLR 2025): body 9, left hand 21, right hand 21, face 18.
"""

from dataclasses import dataclass
from itertools import accumulate, pairwise

from ..core.errors import DataError

Part = str
PARTS: dict[Part, int] = {"body": 9, "left": 21, "right": 21, "face": 18}
"""Number of points of each part, in the order of the parts.

body: nose, ears, shoulders, elbows and wrists, each left before right. A hand: wrist, then four points of
thumb, index, middle, ring and little finger. face: nine points of the jaw, eight of the inner lips, and the
tip of the nose."""
NUM_POINTS = sum(PARTS.values())
_ENDS = [0, *accumulate(PARTS.values())]
SLICES: dict[Part, slice] = {
    part: slice(start, end) for part, (start, end) in zip(PARTS, pairwise(_ENDS), strict=True)
}
"""Place of each part among the 69 points."""

# Points of MediaPipe's face mesh that stand for the jaw (every second of 17), the inner lips and the nose.
_MESH = (162, 93, 172, 149, 152, 378, 397, 323, 389, 78, 82, 13, 312, 308, 317, 14, 87, 4)
# Points of the 68 of the face, in the order of 300-W: every second of the jaw, inner lips, tip of the nose.
_FACE_68 = (*range(0, 17, 2), *range(60, 68), 30)


@dataclass(frozen=True, kw_only=True)
class Layout:
    """Order of the key points in a file."""

    name: str
    num_points: int
    """Number of points of a person."""
    chosen: tuple[int, ...]
    """Places of the 69 points."""


COCO_WHOLEBODY = Layout(
    name="coco-wholebody",
    num_points=133,
    chosen=(0, *range(3, 11), *range(91, 133), *(23 + point for point in _FACE_68)),
)
"""RTMPose, DWPose, rtmlib and MMPose: body 17, feet 6, face 68, hands 21 each."""
MEDIAPIPE = Layout(
    name="mediapipe",
    num_points=543,
    chosen=(0, 7, 8, 11, 12, 13, 14, 15, 16, *range(501, 543), *(33 + point for point in _MESH)),
)
"""MediaPipe Holistic: pose 33, face mesh 468, left hand 21, right hand 21."""
OPENPOSE = Layout(
    name="openpose",
    num_points=137,
    # OpenPose names the right side first.
    chosen=(0, 18, 17, 5, 2, 6, 3, 7, 4, *range(95, 137), *(25 + point for point in _FACE_68)),
)
"""OpenPose: BODY_25, face 70, left hand 21, right hand 21."""
UNI_SIGN = Layout(name="uni-sign", num_points=NUM_POINTS, chosen=tuple(range(NUM_POINTS)))
"""The 69 points themselves."""
LAYOUTS = {layout.name: layout for layout in (COCO_WHOLEBODY, MEDIAPIPE, OPENPOSE, UNI_SIGN)}


def find_layout(num_points: int, *, name: str | None = None, origin: str) -> Layout:
    """Return the layout of a file.

    Args:
        num_points: number of points of a person in the file.
        name: name of the layout in the file. None: the number of points decides.
        origin: the file, for errors.

    Raises:
        DataError: no layout has this name and this number of points.
    """
    for layout in LAYOUTS.values():
        # Numbers of points differ between all layouts, so the number alone names one.
        if layout.num_points == num_points and name in (None, layout.name):
            return layout
    known = ", ".join(f"{layout.name} ({layout.num_points})" for layout in LAYOUTS.values())
    named = f" of layout {name!r}" if name is not None else ""
    raise DataError(f"{origin} must hold the points of {known}, but holds {num_points} points{named}.")
