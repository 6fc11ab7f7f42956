"""Settings of the visual encoder, stored beside its weights."""

import re
from dataclasses import dataclass, replace
from typing import Any, Literal

from ..core.config import config_to_dict
from ..core.errors import ConfigError
from ..core.sample import Medium
from ..poses.normalise import Normalisation
from ..video.geometry import ResizeMode
from ..video.sampling import FrameSampling

IMAGENET_MEAN = (0.485, 0.456, 0.406)
IMAGENET_STD = (0.229, 0.224, 0.225)


@dataclass(frozen=True, kw_only=True)
class PoseConfig:
    """Settings of an encoder of key points: the network, and its input."""

    network: Literal["graph", "flat"] = "graph"
    """``graph``: the part-wise graph network of Uni-Sign, ``flat``: a linear layer over all numbers of a
    frame together, then the temporal module of the paper."""
    width: int = 256
    """Channels of each part of the graph, a multiple of 4 (Uni-Sign: 256), or outputs of the linear layer of
    ``flat``."""
    normalisation: Normalisation = "uni-sign"
    """``uni-sign``: x and y as shares of width and height, as published, ``isotropic``: by the same unit."""
    threshold: float = 0.3
    """Points with this score or less are missing."""

    def __post_init__(self) -> None:
        if self.width < 4 or self.width % 4:
            raise ConfigError(f"width must be a multiple of 4, at least 4, but is {self.width}.")
        if not 0 <= self.threshold < 1:
            raise ConfigError(f"threshold must be at least 0 and below 1, but is {self.threshold}.")


@dataclass(frozen=True, kw_only=True)
class EncoderConfig:
    """Settings of a backbone for single frames and a temporal module over neighbouring frames.

    Defaults of the paper: ResNet-18, 224 pixels, every fourth frame, one Conv1d. Defaults of GFSLT-VLP and
    its successors: kernel 5, 256 pixels before the crop, at most 300 frames.
    """

    kind: Literal["pictures", "poses"] = "pictures"
    """``pictures``: a backbone over the frames of videos, ``poses``: a network over key points. Of the
    settings in this group an encoder of poses uses ``temporal``, ``hidden_size``, ``sampling`` and ``poses``,
    and with ``poses.network=flat`` also ``kernel_size``."""
    poses: PoseConfig = PoseConfig()
    """Settings of an encoder of key points."""
    backbone: str = "resnet18"
    """Name of a timm model."""
    pretrained: bool = False
    """Start from timm's weights (fetched when not on disk) instead of random weights."""
    weights: str | None = None
    """Start from these weights of the backbone, whatever ``pretrained`` says: a .safetensors file, or a
    directory with the layout of timm's models on the hub."""
    pool: str = "avg"
    """``avg``: timm's pooling, ``token``: class token, ``mean``: mean over patches or map cells, ``grid-N``:
    means over an N x N grid, which keep the position of a hand."""
    output_stride: int | None = None
    """Pixels of the picture per cell of the feature map, for backbones with dilation. None: no change."""
    temporal: bool = True
    """Whether the encoder has a temporal module. Without a temporal module there are frame features alone."""
    hidden_size: int = 512
    """Output size of the temporal module, or of an encoder of poses."""
    kernel_size: int = 5
    """Steps in the receptive field of the temporal module, odd."""
    image_size: int = 224
    """Side in pixels of the backbone's input: a crop, central in evaluation, random in training."""
    resize_size: int = 256
    """Side in pixels of decoded frames."""
    fit: ResizeMode = "crop"
    """Conversion of decoded frames to squares."""
    mean: tuple[float, float, float] = IMAGENET_MEAN
    """Mean of red, green and blue in 0..1, subtracted from colours."""
    std: tuple[float, float, float] = IMAGENET_STD
    """Standard deviation of red, green and blue, the divisor of centred colours."""
    sampling: FrameSampling = FrameSampling()
    """Sampling of frames."""
    scales: tuple[int, ...] | None = None
    """Scales of a frame. At scale s the features of s x s tiles of one size are averaged, and the features of
    all scales are concatenated. ``image_size`` is the side at the largest scale. None: the whole frame, once.
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
        if self.kind == "poses" and (self.pretrained or self.weights is not None):
            faults.append("pretrained and weights must be off for kind poses: there is no backbone")
        if faults:
            raise ConfigError("; ".join(faults) + ".")

    @property
    def grid_size(self) -> int | None:
        """Cells along each side of the pooling grid. None without a grid."""
        return int(self.pool.removeprefix("grid-")) if self.pool.startswith("grid-") else None

    @property
    def tile_size(self) -> int:
        """Side in pixels of the backbone's input: of a tile, or of the frame without ``scales``."""
        return self.image_size // max(self.scales or (1,))

    @property
    def medium(self) -> Medium:
        """Files of the samples that the encoder reads."""
        return "poses" if self.kind == "poses" else "video"

    @property
    def without_weights(self) -> "EncoderConfig":
        """The same settings with random initial weights."""
        return replace(self, pretrained=False, weights=None)

    @property
    def settings(self) -> dict[str, Any]:
        """All settings of the trained encoder as JSON values, ``scales`` only if set."""
        if self.kind == "poses":
            used = {"kind", "temporal", "hidden_size", "sampling", "poses"}
            used |= {"kernel_size"} if self.poses.network == "flat" else set()
            return {key: value for key, value in config_to_dict(self).items() if key in used}
        # The path of the initial weights says nothing about the trained encoder. Without scales the
        # fingerprint is the same as before this setting existed, and so it is without poses.
        left_out = {"kind", "poses", "weights"} | (set() if self.scales else {"scales"})
        return {key: value for key, value in config_to_dict(self).items() if key not in left_out}

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
