"""Pixel values of pictures, brought to 8 bits a colour.

Pillow clips deeper grey values when it converts them (16-bit grey above 255 becomes white), and reads 16-bit
colours by their upper byte.
"""

from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from ..core.errors import DataError

if TYPE_CHECKING:
    from PIL.Image import Image

WHITE_16 = 65535
"""White of a 16-bit PNG (PNG standard, section 4.5: samples fill the range of their depth)."""


def refuse_unknown_range(image: "Image", path: Path) -> None:
    """Refuse a picture whose values for black and white the file does not tell.

    Raises:
        DataError: the picture holds floats or 32-bit integers, or 16-bit values in another format than PNG.
    """
    if _is_deep(image) and (image.format != "PNG" or image.mode == "F"):
        raise DataError(
            f"{path} must hold 8 bits a colour, or be a PNG of 16, but is {image.format} of Pillow's mode"
            f" {image.mode}, whose black and white the file does not tell.\nWrite it as 8-bit or 16-bit PNG."
        )


def to_rgb(image: "Image") -> "Image":
    """Return a picture that :func:`refuse_unknown_range` let pass, in 8-bit RGB; transparency is left out."""
    from PIL import Image

    if _is_deep(image):
        values = np.asarray(image).astype(np.uint32)
        image = Image.fromarray(((values * 255 + WHITE_16 // 2) // WHITE_16).astype(np.uint8))
    return image.convert("RGB")


def _is_deep(image: "Image") -> bool:
    """Return whether Pillow holds one value of more than 8 bits a pixel."""
    # Older versions of Pillow read a 16-bit PNG in mode I.
    return image.mode == "F" or image.mode.startswith("I")
