"""Geometry of a frame: orientation, size as shown, limits of the size, and resizing to a square."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Literal, cast

import numpy as np

from ..core.errors import DataError

if TYPE_CHECKING:
    from av.buffer import Buffer
    from av.video.frame import VideoFrame

ResizeMode = Literal["crop", "stretch"]
"""``crop``: scale the shorter side to the square and keep the middle. ``stretch``: scale both sides."""
MAX_PIXELS = 8192 * 8192
"""Largest number of pixels of one picture, twice 8K (7680 x 4320). A damaged header may declare gigabytes."""
MAX_SIDES_RATIO = 20.0
"""Largest ratio of the longer to the shorter side. A very narrow picture, scaled up, would fill memory."""


@dataclass(frozen=True, kw_only=True)
class Orientation:
    """Orientation of a stored picture: transpose first, then reverse rows and columns."""

    is_on_its_side: bool = False
    flips_rows: bool = False
    flips_columns: bool = False

    def set_upright(self, picture: np.ndarray) -> np.ndarray:
        """Return a view of a picture (H, W, 3) as shown: (H, W, 3), or (W, H, 3) for a transposed picture."""
        upright = picture.swapaxes(0, 1) if self.is_on_its_side else picture
        return upright[:: -1 if self.flips_rows else 1, :: -1 if self.flips_columns else 1]


def orientation(frame: "VideoFrame") -> Orientation:
    """Return the orientation that the display matrix of a frame asks for: quarter turns and mirroring.

    The matrix (a, b, u; c, d, v; x, y, w) moves a pixel at (x, y) to (a x + c y, b x + d y) (libavutil,
    display.h), up to a shift.
    """
    # VideoFrame.rotation is the same for some mirrored and some rotated frames. Mirroring matters, because
    # it exchanges the hands of a signer.
    matrix = cast("Mapping[str, Buffer]", frame.side_data).get("DISPLAYMATRIX")
    if matrix is None:
        return Orientation()
    a, b, _, c, d = np.frombuffer(bytes(matrix), np.int32)[:5].tolist()
    if abs(b) > abs(a):
        return Orientation(is_on_its_side=True, flips_rows=b < 0, flips_columns=c < 0)
    return Orientation(flips_rows=d < 0, flips_columns=a < 0)


def shown_size(frame: "VideoFrame", *, pixel_aspect: float) -> tuple[int, int]:
    """Return the height and width of a frame as shown: with square pixels, upright."""
    # The aspect ratio applies to the stored pixels, before the picture is transposed.
    height, width = frame.height, max(1, round(frame.width * pixel_aspect))
    return (width, height) if orientation(frame).is_on_its_side else (height, width)


def refuse_absurd_size(path: Path, *, height: int, width: int, pixel_aspect: float = 1.0) -> None:
    """Refuse a picture that is too large or too narrow.

    Raises:
        DataError: the picture has more than ``MAX_PIXELS`` pixels, or the longer side as shown is more than
            ``MAX_SIDES_RATIO`` times the shorter side.
    """
    if height * width > MAX_PIXELS:
        raise DataError(
            f"{path} must hold pictures of at most {MAX_PIXELS} pixels, but declares {width} x {height}."
        )
    shown = width * pixel_aspect
    # A stream without a declared size (0 x 0) passes here, and is checked when frames are decoded.
    if max(height, shown) > MAX_SIDES_RATIO * min(height, shown) > 0:
        raise DataError(
            f"{path} must show pictures whose sides differ at most {MAX_SIDES_RATIO:g} times, but declares"
            f" {width} x {height} pixels, each {pixel_aspect:g} times as wide as high."
        )


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
