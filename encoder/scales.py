"""A frame at several scales, each in tiles of the side a backbone is used to (S2, as SpaMo has it).

Shi et al., "When Do We Not Need Larger Vision Models?", ECCV 2024. Theirs enlarges a small picture; here the
frame is read at the largest scale, so that there is detail to see, and made smaller for the others.
"""

from collections.abc import Callable

import torch
import torch.nn.functional as F
from torch import Tensor


def multi_scale(
    see: Callable[[Tensor], Tensor], pixels: Tensor, *, scales: tuple[int, ...], tile_size: int
) -> Tensor:
    """Return the joined features of all scales; at scale s the mean over s x s tiles.

    The tiles of one place are seen together, so that never more than N pictures are seen at once.

    Shapes: N frames, m the largest scale, t = ``tile_size``, F features.

    Args:
        see: what a backbone makes of pictures (N, 3, t, t): (N, F).
        pixels: frames (N, 3, m t, m t).
        scales: the scales, the largest last.
        tile_size: side of a tile in pixels.

    Returns:
        Features (N, F len(scales)), in the order of ``scales``.
    """
    return torch.cat([_one_scale(see, pixels, scale=scale, tile_size=tile_size) for scale in scales], dim=1)


def _one_scale(see: Callable[[Tensor], Tensor], pixels: Tensor, *, scale: int, tile_size: int) -> Tensor:
    side = scale * tile_size
    if side != pixels.shape[-1]:
        pixels = F.interpolate(pixels, size=(side, side), mode="bilinear", antialias=True)
    rows = [row.split(tile_size, dim=3) for row in pixels.split(tile_size, dim=2)]
    tiles = [tile.contiguous(memory_format=torch.channels_last) for row in rows for tile in row]
    return torch.stack([see(tile) for tile in tiles]).mean(0)
