"""Convert pictures to 8 bits per channel.

Pillow clips 16-bit grey (values above 255 become white), and reads the upper byte of 16-bit colours.
"""

from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from ..core.errors import DataError

if TYPE_CHECKING:
    from PIL.Image import Image

WHITE_16 = 65535
"""White of a 16-bit PNG. Samples use the whole range of the bit depth (PNG standard, section 4.5)."""


def refuse_unknown_range(image: "Image", path: Path) -> None:
    """Refuse a picture with an unknown range from black to white.

    Raises:
        DataError: the picture holds floats or 32-bit integers, or 16-bit values in another format than PNG.
    """
    if _is_deep(image) and (image.format != "PNG" or image.mode == "F"):
        raise DataError(
            f"{path} must hold 8 bits a colour, or be a PNG of 16, but is {image.format} of Pillow's mode"
            f" {image.mode}, whose black and white the file does not tell.\nWrite it as 8-bit or 16-bit PNG."
        )


def to_rgb(image: "Image") -> "Image":
    """Convert a picture accepted by :func:`refuse_unknown_range` to 8-bit RGB, without transparency."""
    from PIL import Image

    if _is_deep(image):
        values = np.asarray(image).astype(np.uint32)
        image = Image.fromarray(((values * 255 + WHITE_16 // 2) // WHITE_16).astype(np.uint8))
    return image.convert("RGB")


def _is_deep(image: "Image") -> bool:
    """Return whether the picture has one channel of more than 8 bits."""
    # Older versions of Pillow read a 16-bit PNG in mode I.
    return image.mode == "F" or image.mode.startswith("I")
