"""Resize modes: scale and crop a picture to a square, or stretch it."""

from typing import Literal

import numpy as np

ResizeMode = Literal["crop", "stretch"]
"""``crop``: scale the shorter side to the square and keep the middle. ``stretch``: scale both sides."""


def fitted_size(height: float, width: float, *, size: int, fit: ResizeMode) -> tuple[int, int]:
    """Return the height and width to scale a picture to, before :func:`centre_square`.

    ``height`` and ``width`` are those of the picture as shown, with square pixels.

    >>> fitted_size(720, 1280, size=128, fit="crop"), fitted_size(720, 1280, size=128, fit="stretch")
    ((128, 228), (128, 128))
    """
    if fit == "stretch":
        return size, size
    shorter = min(height, width)
    # Rounding may lose a pixel, but the square needs at least ``size``.
    return max(size, round(height * size / shorter)), max(size, round(width * size / shorter))


def centre_square(picture: np.ndarray, *, size: int) -> np.ndarray:
    """Return the middle (size, size, 3) of a picture (H, W, 3) with H and W of at least ``size``."""
    top, left = (picture.shape[0] - size) // 2, (picture.shape[1] - size) // 2
    return picture[top : top + size, left : left + size]
