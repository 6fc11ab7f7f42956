"""How a picture of any shape becomes a square: scaled and cropped, or stretched."""

from typing import Literal

import numpy as np

Fit = Literal["crop", "stretch"]
"""``crop``: the shorter side becomes the square's side and the middle is kept; ``stretch``: all is kept."""


def fitted_size(height: float, width: float, *, size: int, fit: Fit) -> tuple[int, int]:
    """Return the height and width a picture is scaled to before :func:`centre_square`.

    ``height`` and ``width`` count square pixels.

    >>> fitted_size(720, 1280, size=128, fit="crop"), fitted_size(720, 1280, size=128, fit="stretch")
    ((128, 228), (128, 128))
    """
    if fit == "stretch":
        return size, size
    shorter = min(height, width)
    return max(size, round(height * size / shorter)), max(size, round(width * size / shorter))


def centre_square(picture: np.ndarray, *, size: int) -> np.ndarray:
    """Return the middle (size, size, 3) of a picture (H, W, 3), H and W at least ``size``."""
    top, left = (picture.shape[0] - size) // 2, (picture.shape[1] - size) // 2
    return picture[top : top + size, left : left + size]
