"""Clip transforms: centre crop for evaluation, augmentation for training.

All random numbers are drawn once per clip, so that a signer does not shake from frame to frame. Clips are
never flipped, since the signing hand can carry meaning. All geometry, the random crop included, is one
resampling with one grid for the clip. torchvision's ``affine`` takes as long but cannot crop in one step.
"""

import math

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from .augmentation import AugmentConfig


def centre_crop(frames: Tensor, *, size: int) -> Tensor:
    """Return a view of the middle of a clip: (T, 3, H, W) -> (T, 3, size, size).

    Raises:
        ValueError: the frames are smaller than ``size``.
    """
    height, width = _sides(frames, size)
    top, left = (height - size) // 2, (width - size) // 2
    return frames[..., top : top + size, left : left + size]


def normalise(frames: Tensor, *, mean: Tensor, std: Tensor) -> Tensor:
    """Return new pixels (N, 3, H, W) in the format of ``mean``: values over 255, less the mean, over ``std``.

    Args:
        frames: uint8, (N, 3, H, W).
        mean: of each channel, (3, 1, 1).
        std: standard deviation of each channel, (3, 1, 1).
    """
    # In place on the one copy: three more tensors of this size cost more than all of the arithmetic.
    return frames.to(mean.dtype, copy=True).div_(255).sub_(mean).div_(std)


def augment(frames: Tensor, *, size: int, config: AugmentConfig, generator: torch.Generator) -> Tensor:
    """Crop a clip at random and, with ``config.probability``, change geometry, brightness and contrast.

    Args:
        frames: a clip (T, 3, H, W), uint8.
        size: side of the square, at most H and W.
        config: bounds of each change.
        generator: random generator. Each call draws ten numbers.

    Returns:
        The clip (T, 3, size, size), uint8.

    Raises:
        ValueError: the frames are smaller than ``size``.
    """
    height, width = _sides(frames, size)
    # Ten numbers are drawn even if few are used, so that the generator advances equally for every clip.
    draws = torch.rand(10, generator=generator).tolist()
    top, left = int(draws[0] * (height - size + 1)), int(draws[1] * (width - size + 1))
    if draws[2] < config.probability:
        pixels = _resample(frames, size=size, corner=(top, left), draws=draws[3:7], config=config)
    else:
        pixels = frames[..., top : top + size, left : left + size]
    if draws[7] < config.probability:
        pixels = _relight(pixels.float(), draws=draws[8:10], config=config)
    return pixels.round_().clamp_(0, 255).to(torch.uint8) if pixels.is_floating_point() else pixels


def _resample(
    frames: Tensor, *, size: int, corner: tuple[int, int], draws: list[float], config: AugmentConfig
) -> Tensor:
    """Sample a rotated, scaled and shifted window of ``size`` pixels, with edge pixels repeated outside."""
    height, width = frames.shape[-2:]
    angle = math.radians(_spread(draws[0], config.rotate_degrees))
    zoom = 1.0 + _spread(draws[1], config.scale)
    centre_y = corner[0] + size / 2 + _spread(draws[2], config.translate) * size
    centre_x = corner[1] + size / 2 + _spread(draws[3], config.translate) * size
    cos, sin = math.cos(angle) / zoom, math.sin(angle) / zoom
    # Output coordinates run over -1..1 of the window, input coordinates over -1..1 of the frame.
    matrix = torch.tensor(
        [
            [cos * size / width, -sin * size / width, 2 * centre_x / width - 1],
            [sin * size / height, cos * size / height, 2 * centre_y / height - 1],
        ]
    )
    grid = F.affine_grid(matrix[None], [1, 1, size, size], align_corners=False)
    # (T, 3, H, W) -> (1, 3 T, H, W): all frames share one grid.
    stacked = frames.reshape(1, -1, height, width).float()
    sampled = F.grid_sample(stacked, grid, padding_mode="border", align_corners=False)
    return sampled.view(len(frames), 3, size, size)


def _relight(pixels: Tensor, *, draws: list[float], config: AugmentConfig) -> Tensor:
    """Scale the mean value of a clip by the brightness, and the distance to the mean by the contrast."""
    brightness = 1.0 + _spread(draws[0], config.brightness)
    contrast = 1.0 + _spread(draws[1], config.contrast)
    # The mean of torch would depend on the number of threads.
    mean = float(pixels.numpy().mean(dtype=np.float64))
    return pixels.mul_(contrast).add_((brightness - contrast) * mean)


def _spread(draw: float, bound: float) -> float:
    """Map a draw from 0..1 to -bound..bound."""
    return (2 * draw - 1) * bound


def _sides(frames: Tensor, size: int) -> tuple[int, int]:
    height, width = frames.shape[-2:]
    if min(height, width) < size:
        raise ValueError(f"frames must measure {size} x {size} or more, but are {height} x {width}.")
    return height, width
