"""Read folders of numbered pictures with Pillow. PHOENIX-2014T and CSL-Daily are released in this form."""

import struct
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from ..core.errors import DataError
from .geometry import ResizeMode, centre_square, fitted_size, refuse_absurd_size
from .picture_order import in_natural_order
from .pixels import refuse_unknown_range, to_rgb

if TYPE_CHECKING:
    from PIL.Image import Image

SUFFIXES = (".png", ".jpg", ".jpeg")
EXIF_ORIENTATION = 0x0112
"""EXIF tag of the orientation. Values 5 to 8 mean a quarter turn (EXIF 2.3, section 4.6.4)."""


def list_pictures(folder: Path) -> list[Path]:
    """Return the pictures of a folder in natural order (frame 2 before frame 10), without hidden files.

    Raises:
        DataError: the folder cannot be read, holds no pictures, or holds pictures of two kinds.
    """
    try:
        # macOS writes hidden files beside pictures on other file systems.
        files = [file for file in folder.iterdir() if not file.name.startswith(".")]
    except OSError as error:
        raise DataError(f"{folder} cannot be read: {error.strerror}") from error
    pictures = [file for file in files if file.suffix.lower() in SUFFIXES]
    if not pictures:
        raise DataError(f"{folder} must hold {', '.join(SUFFIXES)} pictures, but has none.")
    # Two kinds of pictures in one folder usually mean the same clip twice.
    kinds = sorted({file.suffix for file in pictures})
    if len(kinds) > 1:
        raise DataError(f"{folder} must hold pictures of one kind, but has {' and '.join(kinds)}.")
    return in_natural_order(pictures)


def first_size(folder: Path) -> tuple[int, int]:
    """Return the height and width of the first picture of a folder, from the header of that picture.

    Raises:
        DataError: the folder holds no usable pictures (:func:`list_pictures`), or the first is unreadable.
    """
    first = list_pictures(folder)[0]
    with _opened(first) as image:
        width, height = image.size
        # A quarter turn swaps the sides.
        return (width, height) if image.getexif().get(EXIF_ORIENTATION, 1) >= 5 else (height, width)


def read_picture(path: Path, *, size: int, fit: ResizeMode) -> np.ndarray:
    """Return a picture as uint8 (size, size, 3) in RGB, upright.

    Raises:
        DataError: the picture cannot be read. The message names the file.
    """
    return square_of(upright_picture(path), size=size, fit=fit)


def square_of(picture: "Image", *, size: int, fit: ResizeMode) -> np.ndarray:
    """Return an upright RGB picture as uint8 (size, size, 3)."""
    from PIL.Image import Resampling

    height, width = fitted_size(picture.height, picture.width, size=size, fit=fit)
    # Pillow's BILINEAR averages all pixels when it shrinks a picture.
    scaled = picture.resize((width, height), Resampling.BILINEAR)
    return centre_square(np.asarray(scaled), size=size)


def upright_picture(path: Path) -> "Image":
    """Return a picture in RGB, upright by EXIF.

    Raises:
        DataError: the picture cannot be read. The message names the file.
    """
    from PIL import ImageOps

    with _opened(path) as image:
        return to_rgb(ImageOps.exif_transpose(image))


@contextmanager
def _opened(path: Path) -> Iterator["Image"]:
    """Open a picture. Errors of Pillow, here and in the ``with`` block, become a DataError."""
    from PIL import Image

    # A program may have lowered the limit of Pillow, or turned warnings into errors.
    bombs = (Image.DecompressionBombError, Image.DecompressionBombWarning)
    try:
        with Image.open(path) as image:
            refuse_absurd_size(path, height=image.height, width=image.width)
            refuse_unknown_range(image, path)
            yield image
    except (OSError, SyntaxError, ValueError, EOFError, struct.error, *bombs) as error:
        raise DataError(f"{path} cannot be read as a picture: {error}") from error
