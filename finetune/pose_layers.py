"""Layers of a projector over key points: the graph network of Uni-Sign, trained with the language model."""

import torch
from torch import Tensor, nn

from ..core.errors import ConfigError
from ..encoder.pose_graph import PoseGraph
from ..poses.layouts import NUM_POINTS

POSE_FEATURES = NUM_POINTS * 3
"""Width of a feature of normalised key points: x, y and score of each point."""


class PoseLayers(nn.Module):
    """Graph network over padded key points: (B, T, 207) -> (B, T, D)."""

    def __init__(self, feature_size: int, embedding_size: int, *, width: int) -> None:
        """Make a network with random weights.

        Args:
            feature_size: width of a feature.
            embedding_size: D.
            width: channels of a part.

        Raises:
            ConfigError: the features are no key points.
        """
        super().__init__()
        if feature_size != POSE_FEATURES:
            raise ConfigError(
                f"'projector.kind' poses must be given normalised key points ({POSE_FEATURES} numbers per "
                f"step), as of fla extract --encoder poses, but the stream has {feature_size}.\n"
                "Set another projector.kind, or projector_by_stream for the stream of key points."
            )
        self.graph = PoseGraph(width=width, output_size=embedding_size)

    def forward(self, features: Tensor, lengths: Tensor | None) -> Tensor:
        """Return vectors (B, T, D), zero past each end.

        Args:
            features: key points of each clip (B, T, 207).
            lengths: steps of each clip (B,). None: all steps are real.
        """
        clips, steps, _ = features.shape
        if lengths is None:
            lengths = torch.full((clips,), steps, device=features.device)
        is_real = torch.arange(steps, device=features.device) < lengths[:, None]
        # Packed, so that convolutions and BatchNorm see the frames of clips alone.
        packed = self.graph(features[is_real].unflatten(1, (NUM_POINTS, 3)), lengths)
        padded = packed.new_zeros(clips, steps, packed.shape[-1])
        padded[is_real] = packed
        return padded
