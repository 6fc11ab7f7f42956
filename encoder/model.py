"""Visual encoder: a backbone over single frames, then a local temporal module."""

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, nn

from ..core.errors import ModelError
from ..video.transforms import normalise
from .backbone import Backbone
from .config import EncoderConfig
from .scales import multi_scale
from .temporal import TemporalModule, pad_packed
from .windows import Windows


class VisualEncoder(nn.Module):
    """Visual encoder: a sequence of embeddings, one for each frame.

    Shapes: N frames of all clips packed, B clips, T steps of the longest, F = ``frame_size``,
    D = ``output_size``.
    """

    windows = Windows()
    """Single frames as units."""

    def __init__(self, config: EncoderConfig) -> None:
        super().__init__()
        self.config = config
        self.backbone = Backbone(config)
        self.frame_size = self.backbone.feature_size * len(config.scales or (1,))
        self.output_size = config.hidden_size if config.temporal else self.frame_size
        self.temporal = (
            TemporalModule(
                frame_size=self.frame_size, hidden_size=config.hidden_size, kernel_size=config.kernel_size
            )
            if config.temporal
            else None
        )
        self.mean: Tensor
        self.std: Tensor
        # Not persistent: the settings have these values, and the fingerprint covers the settings.
        self.register_buffer("mean", torch.tensor(config.mean).view(3, 1, 1), persistent=False)
        self.register_buffer("std", torch.tensor(config.std).view(3, 1, 1), persistent=False)

    def forward(
        self,
        frames: Tensor,
        lengths: Tensor,
        *,
        frame_features: Callable[[Tensor], Tensor] | None = None,
    ) -> Tensor:
        """Encode several clips.

        Args:
            frames: the frames of all clips, one clip behind the other (N, 3, H, W), uint8.
            lengths: frames per clip (B,), int64, each at least 1, summing to N.
            frame_features: another way to compute :meth:`frame_features`, such as in chunks.

        Returns:
            Embeddings (B, T, D), zero past each end, of level "sign", or "frame" without temporal module.

        Raises:
            ValueError: the lengths do not sum to N.
        """
        if int(lengths.sum()) != len(frames) or int(lengths.min()) < 1:
            raise ValueError(
                f"lengths must be 1 or more and sum to {len(frames)} frames, but are {lengths.tolist()}."
            )
        features = (frame_features or self.frame_features)(frames)
        if self.temporal is None:
            return pad_packed(features, lengths)[0]
        return self.temporal(features, lengths)

    def frame_features(self, frames: Tensor) -> Tensor:
        """Normalise frames and apply the backbone: (N, 3, H, W) uint8 -> (N, F)."""
        pixels = normalise(frames, mean=self.mean, std=self.std)
        # Convolutions are faster with channels innermost, on CPUs and on GPUs with tensor cores.
        pixels = pixels.contiguous(memory_format=torch.channels_last)
        if self.config.scales is None:
            return self.backbone(pixels)
        return multi_scale(self.backbone, pixels, scales=self.config.scales, tile_size=self.config.tile_size)

    def unit_features(self, frames: Tensor) -> Tensor:
        """Return :meth:`frame_features`, because a unit is a frame."""
        return self.frame_features(frames)

    @property
    def settings(self) -> dict[str, Any]:
        """All settings as JSON values."""
        return self.config.settings

    def prepare(self, device: torch.device) -> None:
        """Move to ``device``, in evaluation mode, with the weights of the backbone channels-last."""
        self.eval().to(device)
        self.backbone.to(memory_format=torch.channels_last)

    def sign_features(self, frame_features: Tensor) -> Tensor:
        """Return the sign features of one clip: (T, F) -> (T, D).

        Raises:
            ModelError: the encoder has no temporal module.
        """
        return self.require_temporal().single(frame_features)

    def require_temporal(self) -> TemporalModule:
        """Return the temporal module, for level "sign".

        Raises:
            ModelError: the encoder has no temporal module.
        """
        if self.temporal is None:
            raise ModelError(
                f"level must be frame, but is sign: encoder {self.config.backbone} has no temporal module."
            )
        return self.temporal
