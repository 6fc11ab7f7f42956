"""Features of a frame at several scales, each in tiles of the backbone's input size (S2, as in SpaMo).

Shi et al., "When Do We Not Need Larger Vision Models?", ECCV 2024. The paper enlarges a small picture. Here a
frame is decoded at the largest scale, with all details, and reduced for the smaller scales.
"""

from collections.abc import Callable

import torch
import torch.nn.functional as F
from torch import Tensor


def multi_scale(
    forward: Callable[[Tensor], Tensor], pixels: Tensor, *, scales: tuple[int, ...], tile_size: int
) -> Tensor:
    """Concatenate the features of all scales. At scale s the features are means over s x s tiles.

    Shapes: N frames, m the largest scale, t = ``tile_size``, F features.

    Args:
        forward: the backbone: (N, 3, t, t) -> (N, F).
        pixels: frames (N, 3, m t, m t).
        scales: the scales, the largest last.
        tile_size: side of a tile in pixels.

    Returns:
        Features (N, F len(scales)), in the order of ``scales``.
    """
    return torch.cat(
        [_one_scale(forward, pixels, scale=scale, tile_size=tile_size) for scale in scales], dim=1
    )


def _one_scale(forward: Callable[[Tensor], Tensor], pixels: Tensor, *, scale: int, tile_size: int) -> Tensor:
    side = scale * tile_size
    if side != pixels.shape[-1]:  # antialias, or thin fingers would flicker from frame to frame
        pixels = F.interpolate(pixels, size=(side, side), mode="bilinear", antialias=True)
    rows = [row.split(tile_size, dim=3) for row in pixels.split(tile_size, dim=2)]
    tiles = [tile.contiguous(memory_format=torch.channels_last) for row in rows for tile in row]
    # One tile of every frame at a time: the memory of a batch does not grow with the scale.
    return torch.stack([forward(tile) for tile in tiles]).mean(0)
