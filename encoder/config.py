"""The visual encoder's settings; they are written beside its weights and make it again."""

import re
from dataclasses import dataclass
from typing import Any

from ..core.config import config_to_dict
from ..core.errors import ConfigError
from ..video.resize_mode import ResizeMode
from ..video.sampling import FrameSampling

IMAGENET_MEAN = (0.485, 0.456, 0.406)
IMAGENET_STD = (0.229, 0.224, 0.225)


@dataclass(frozen=True, kw_only=True)
class EncoderConfig:
    """A backbone that sees single frames, and a temporal module that sees their neighbours.

    Defaults are the paper's where it speaks: ResNet-18, 224 pixels, every fourth frame, one Conv1d. Kernel 5,
    256 pixels before the crop and at most 300 frames are GFSLT-VLP's and its successors'.
    """

    backbone: str = "resnet18"
    """A timm model, by name."""
    pretrained: bool = False
    """Begin from timm's weights (fetched when not on disk) instead of random ones."""
    pool: str = "avg"
    """``avg``: timm's own pooling; ``token``: the class token; ``mean``: the mean over patches or map cells;
    ``grid-N``: means over an N x N grid, which keep where a hand is."""
    output_stride: int | None = None
    """Pixels of the picture per cell of the feature map, for backbones that can be dilated; None: its own."""
    temporal: bool = True
    """Whether there is a temporal module; without it only frame features can be had."""
    hidden_size: int = 512
    """Width of the temporal module's output."""
    kernel_size: int = 5
    """Steps the temporal module sees at once, odd."""
    image_size: int = 224
    """Side in pixels of what the backbone sees: a crop, central in evaluation, random in training."""
    resize_size: int = 256
    """Side in pixels frames are read at."""
    fit: ResizeMode = "crop"
    """How frames become square when they are read."""
    mean: tuple[float, float, float] = IMAGENET_MEAN
    """Subtracted from the colours red, green, blue, of 0..1."""
    std: tuple[float, float, float] = IMAGENET_STD
    """Divides the colours after that."""
    sampling: FrameSampling = FrameSampling()
    """Which frames are looked at."""
    scales: tuple[int, ...] | None = None
    """At scale s the frame is seen in s x s tiles of one size, whose features are averaged; the scales'
    features are joined. ``image_size`` is the side at the largest scale. None: the whole frame, once.
    (S2: Shi et al., "When Do We Not Need Larger Vision Models?", ECCV 2024)"""

    def __post_init__(self) -> None:
        faults = [*self._size_faults(), *self._scale_faults()]
        if not re.fullmatch(r"avg|token|mean|grid-[1-9][0-9]?", self.pool):
            faults.append(
                f"pool must be avg, token, mean or grid-N (grid-1 to grid-99), but is {self.pool!r}"
            )
        if self.kernel_size % 2 == 0:
            faults.append(f"kernel_size must be odd, but is {self.kernel_size}")
        if min(self.std) <= 0:
            faults.append(f"std must be above 0, but is {self.std}")
        if faults:
            raise ConfigError("; ".join(faults) + ".")

    @property
    def grid_size(self) -> int | None:
        """Cells along each side of the pooling grid; None without one."""
        return int(self.pool.removeprefix("grid-")) if self.pool.startswith("grid-") else None

    @property
    def tile_size(self) -> int:
        """Side in pixels of what the backbone sees: a tile, which without ``scales`` is the frame."""
        return self.image_size // max(self.scales or (1,))

    @property
    def settings(self) -> dict[str, Any]:
        """All settings as JSON can hold them; ``scales`` only where there are any.

        Without them an encoder is described, and so fingerprinted, as before there were scales.
        """
        settings = config_to_dict(self)
        return settings if self.scales else {key: settings[key] for key in settings if key != "scales"}

    def _scale_faults(self) -> list[str]:
        if self.scales is None:
            return []
        if not self.scales or list(self.scales) != sorted({scale for scale in self.scales if scale > 0}):
            return [f"scales must rise from 1 or more, but are {list(self.scales)}"]
        if self.image_size % self.scales[-1]:
            return [
                f"image_size must divide by the largest scale ({self.scales[-1]}), but is {self.image_size}"
            ]
        return []

    def _size_faults(self) -> list[str]:
        sizes = ("hidden_size", "kernel_size", "image_size", "resize_size")
        faults = [
            f"{name} must be at least 1, but is {getattr(self, name)}"
            for name in sizes
            if getattr(self, name) < 1
        ]
        if self.resize_size < self.image_size:
            faults.append(
                f"resize_size must be at least image_size ({self.image_size}), but is {self.resize_size}"
            )
        return faults
