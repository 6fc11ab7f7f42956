"""Pictures inside a page, as data URIs: frames of a clip, and rows of attention weights."""

import base64
import io

import numpy as np
from PIL import Image

INK = (58, 110, 230)
"""Colour of attention, which can be seen on a light and on a dark page."""
MOST_PIXELS = 160
"""Largest side of a frame on the page."""
JPEG_QUALITY = 82


def frame_uri(frame: np.ndarray) -> str:
    """Return a frame (H, W, 3) uint8 as a JPEG of at most ``MOST_PIXELS`` a side."""
    picture = Image.fromarray(frame)
    # A page holds many frames, and no screen shows them larger.
    picture.thumbnail((MOST_PIXELS, MOST_PIXELS))
    return _uri(picture, "JPEG", quality=JPEG_QUALITY)


def weights_uri(weights: np.ndarray) -> str:
    """Return weights (S,) in 0..1 as a PNG of one row, transparent at 0 and of full colour at 1."""
    pixels = np.empty((1, len(weights), 4), np.uint8)
    pixels[..., :3] = INK
    # Transparency instead of white, so that the picture fits a dark page too.
    pixels[..., 3] = np.rint(255 * np.clip(weights, 0, 1))
    return _uri(Image.fromarray(pixels, "RGBA"), "PNG", optimize=True)


def evenly_spaced(count: int, *, of: int) -> list[int]:
    """Return the middles of ``count`` equal parts of ``of`` steps, or all steps if these are fewer.

    >>> evenly_spaced(3, of=9), evenly_spaced(8, of=3)
    ([1, 4, 7], [0, 1, 2])
    """
    return [int((part + 0.5) * of / count) for part in range(count)] if of > count else list(range(of))


def _uri(picture: Image.Image, kind: str, **settings: object) -> str:
    buffer = io.BytesIO()
    picture.save(buffer, kind, **settings)
    return f"data:image/{kind.lower()};base64,{base64.b64encode(buffer.getvalue()).decode('ascii')}"
