"""The picture of the layout in the documentation is the one that its script draws."""

import runpy
from pathlib import Path

PICTURES = Path(__file__).parents[2] / "docs" / "pictures"


def test_the_picture_of_the_layout_is_up_to_date() -> None:
    drawn = runpy.run_path(str(PICTURES / "pose_layout.py"))["picture"]()
    assert drawn == (PICTURES / "pose_layout.svg").read_text(encoding="utf-8")
    assert drawn.count("<circle") == 69
