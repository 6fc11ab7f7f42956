"""Frozen encoder of both hands: an encoder of pictures, applied to the crop of each hand."""

from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from ..core.config import config_to_dict
from ..core.errors import ConfigError, ModelError
from ..core.sample import Source
from ..video.geometry import ResizeMode
from ..video.sampling import FrameSampling
from .frozen import FrozenEncoder
from .hand_crops import HANDS, HandsConfig
from .windows import Windows


@dataclass(frozen=True, kw_only=True)
class HandPicturesConfig:
    """Settings of the pictures of :func:`.hand_crops.crop_hands`."""

    crop_size: int
    """Side in pixels of a crop."""
    sampling: FrameSampling
    """Sampling of frames."""
    fit: ResizeMode = "stretch"
    """Conversion of decoded frames to squares. Boxes are shares of both sides: no edge may be cut off."""

    @property
    def medium(self) -> Source:
        """Input of the encoder: videos, which pose files accompany."""
        return "video"

    @property
    def poses(self) -> None:
        """None: key points only place the crops."""
        return

    @property
    def image_size(self) -> int:
        """Side in pixels of a picture of both crops."""
        return len(HANDS) * self.crop_size

    @property
    def resize_size(self) -> int:
        """Side in pixels of a picture of both crops: nothing is cut off."""
        return self.image_size


class HandEncoder(nn.Module):
    """Encoder with the vectors of both hands for each frame: left, then right. Level "frame" only.

    Shapes: U frames, S = side of a crop, F = ``frame_size``, twice that of the encoder inside.
    """

    def __init__(self, inner: FrozenEncoder, hands: HandsConfig) -> None:
        """Wrap an encoder of single pictures.

        Raises:
            ConfigError: ``inner`` reads windows of frames, key points or texts.
        """
        super().__init__()
        if inner.config.medium != "video" or inner.windows != Windows():
            raise ConfigError(
                "--crop hands must have an encoder of single pictures, such as timm:NAME, but has another."
            )
        self.inner: Any = inner
        self.hands = hands
        self.config = HandPicturesConfig(crop_size=inner.config.image_size, sampling=inner.config.sampling)
        self.windows = Windows()
        self.frame_size: int = len(HANDS) * inner.frame_size
        self.output_size = self.frame_size
        self.temporal = None

    @property
    def settings(self) -> dict[str, Any]:
        """All settings as JSON values: those of the encoder inside, and those of the crops."""
        return {**self.inner.settings, "crop": {"part": "hands", **config_to_dict(self.hands)}}

    def prepare(self, device: torch.device) -> None:
        """Move to ``device``, in evaluation mode."""
        self.inner.prepare(device)

    def unit_features(self, frames: Tensor) -> Tensor:
        """Return the vectors of both hands for each picture: (U, 3, 2 S, 2 S) uint8 -> (U, F)."""
        size = self.config.crop_size
        crops = [frames[:, :, :size, hand * size : (hand + 1) * size] for hand in range(len(HANDS))]
        found: Tensor = self.inner.unit_features(torch.stack(crops, dim=1).flatten(0, 1))
        return found.unflatten(0, (-1, len(HANDS))).flatten(1)

    def sign_features(self, frame_features: Tensor) -> Tensor:
        """Refuse: see :meth:`require_temporal`."""
        return self.require_temporal()(frame_features)

    def require_temporal(self) -> nn.Module:
        """Refuse: a temporal module knows whole pictures alone.

        Raises:
            ModelError: always.
        """
        raise ModelError("level must be frame for crops of the hands, but is sign.")
