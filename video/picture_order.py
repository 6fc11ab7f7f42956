"""Natural order of numbered pictures: frame 2 before frame 10, -1 before 0, 0.25 before 0.5."""

import re
from collections.abc import Iterable
from decimal import Decimal
from pathlib import Path

WHOLE = r"(?:(?<![^\W_])-)?[0-9]+"
"""Pattern of a number. A hyphen after a letter or digit is a separator (``frame-1``), else a minus sign."""
DECIMAL = rf"{WHOLE}(?:\.[0-9]+)?"


def in_natural_order(pictures: Iterable[Path]) -> list[Path]:
    """Sort files by name without suffix, with numbers in numeric order.

    >>> [path.stem for path in in_natural_order(map(Path, ["f10.png", "f9.png", "f.png"]))]
    ['f', 'f9', 'f10']
    >>> [path.stem for path in in_natural_order(map(Path, ["1.png", "0.5.png", "-1.png", "0.25.png"]))]
    ['-1', '0.25', '0.5', '1']
    """
    pictures = list(pictures)
    number = DECIMAL if _holds_decimals([path.stem for path in pictures]) else WHOLE
    # The name breaks the tie between 01.png and 1.png.
    return sorted(pictures, key=lambda path: (_parts(path.stem, number), path.name))


def _parts(name: str, number: str) -> list[str | Decimal]:
    """Split a name into text, number, text, ..., so that text is compared to text and number to number."""
    parts = re.split(f"({number})", name)
    return [Decimal(part) if place % 2 else part for place, part in enumerate(parts)]


def _holds_decimals(names: Iterable[str]) -> bool:
    """Return whether points between digits are decimal points, not separators (``clip1.9``, ``clip1.10``)."""
    # Decimal numbers of varying length do not end in zero, except for 1.0.
    decimals = [found for name in names for found in re.findall(r"[0-9]\.([0-9]+)", name)]
    widths = {len(found) for found in decimals}
    return len(widths) == 1 or not any(len(found) > 1 and found.endswith("0") for found in decimals)
