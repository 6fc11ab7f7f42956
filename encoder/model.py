"""The visual encoder: a backbone over single frames, then a local temporal module."""

import torch
from torch import Tensor, nn

from ..core.errors import ModelError
from .backbone import Backbone
from .config import EncoderConfig
from .temporal import TemporalModule, pad_packed


class VisualEncoder(nn.Module):
    """Frames -> a sequence of embeddings, one a frame.

    Shapes: N frames of all clips packed, B clips, T steps of the longest, F = ``frame_size``,
    D = ``output_size``.
    """

    def __init__(self, config: EncoderConfig) -> None:
        super().__init__()
        self.config = config
        self.backbone = Backbone(config)
        self.frame_size = self.backbone.feature_size
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
        self.register_buffer("mean", torch.tensor(config.mean).view(3, 1, 1), persistent=False)
        self.register_buffer("std", torch.tensor(config.std).view(3, 1, 1), persistent=False)

    def forward(self, frames: Tensor, lengths: Tensor) -> Tensor:
        """Encode several clips.

        Args:
            frames: their frames, one clip behind the other (N, 3, H, W), uint8.
            lengths: frames per clip (B,), int64, each at least 1, summing to N.

        Returns:
            Embeddings (B, T, D), zero past each end; of level "sign", or "frame" without temporal module.

        Raises:
            ValueError: the lengths do not sum to N.
        """
        if int(lengths.sum()) != len(frames) or int(lengths.min()) < 1:
            raise ValueError(
                f"lengths must be 1 or more and sum to {len(frames)} frames, but are {lengths.tolist()}."
            )
        features = self.frame_features(frames)
        if self.temporal is None:
            return pad_packed(features, lengths)[0]
        return self.temporal(features, lengths)

    def frame_features(self, frames: Tensor) -> Tensor:
        """Return what the backbone sees in single frames: (N, 3, H, W) uint8 -> (N, F)."""
        pixels = (frames.to(self.mean.dtype) / 255 - self.mean) / self.std
        return self.backbone(pixels.contiguous(memory_format=torch.channels_last))

    def sign_features(self, frame_features: Tensor) -> Tensor:
        """Return one clip's sign features, at its own length: (T, F) -> (T, D).

        Raises:
            ModelError: the encoder has no temporal module.
        """
        length = torch.tensor([len(frame_features)], device=frame_features.device)
        return self.require_temporal()(frame_features, length)[0]

    def require_temporal(self) -> TemporalModule:
        """Return the temporal module, which level "sign" needs.

        Raises:
            ModelError: there is none.
        """
        if self.temporal is None:
            raise ModelError(
                f"level must be frame, but is sign: encoder {self.config.backbone} has no temporal module."
            )
        return self.temporal
