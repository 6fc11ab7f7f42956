"""Part-wise spatial-temporal graph network over key points, as in Uni-Sign.

Uni-Sign: Li et al., "Uni-Sign: Toward Unified Sign Language Understanding at Scale", ICLR 2025. Blocks after
ST-GCN (Yan et al., AAAI 2018). With a width of 256 and an output of 768 there are 5,346,088 weights, as many
as in the published model.
"""

import torch
from torch import Tensor, nn
from torch.nn import functional

from ..poses.graph import adjacency
from ..poses.layouts import PARTS, SLICES, Part

KERNEL_SIZE = 5
"""Frames in the receptive field of a temporal convolution."""
# Both hands share their weights.
KINDS: dict[Part, str] = {"body": "body", "left": "hand", "right": "hand", "face": "face"}
_SPANS = {"body": "body", "hand": "left", "face": "face"}
"""A part of each kind, whose graph the kind has."""
_JOINTS = {"left": -2, "right": -1, "face": 0}
"""Point of the body whose features a part receives: the wrists, and the nose."""


class GraphBlock(nn.Module):
    """Graph convolution with a learned adjacency, then a convolution over time, with a residual connection.

    Shapes: N frames of all clips packed, V points, C channels.
    """

    def __init__(self, inputs: int, outputs: int, *, part: Part, kernel_size: int = 1) -> None:
        super().__init__()
        neighbours = torch.from_numpy(adjacency(part))
        self.adjacency = nn.Parameter(neighbours)
        self.mix = nn.Linear(inputs, len(neighbours) * outputs)
        self.norm = nn.BatchNorm1d(outputs)
        self.over_time = OverTime(outputs, kernel_size) if kernel_size > 1 else None
        self.residual = PointNorm(inputs, outputs) if inputs != outputs else None

    def forward(self, points: Tensor, lengths: Tensor) -> Tensor:
        """Return features of the points: (N, V, C) -> (N, V, C')."""
        hops = len(self.adjacency)
        mixed = self.mix(points).unflatten(-1, (hops, -1))  # (N, V, K, C)
        # out[n, w] = sum over k and v of A[k, v, w] mixed[n, v, k], as one matrix product.
        weights = self.adjacency.permute(2, 1, 0).flatten(1)  # (V, V K)
        joined = functional.relu(_norm(self.norm, weights @ mixed.flatten(1, 2)))
        if self.over_time is not None:
            joined = self.over_time(joined, lengths)
        return functional.relu(joined + (points if self.residual is None else self.residual(points)))


class PointNorm(nn.Module):
    """Linear map and BatchNorm of each point, for a residual connection between two widths."""

    def __init__(self, inputs: int, outputs: int) -> None:
        super().__init__()
        self.map = nn.Linear(inputs, outputs)
        self.norm = nn.BatchNorm1d(outputs)

    def forward(self, points: Tensor) -> Tensor:
        """Return mapped points: (N, V, C) -> (N, V, C')."""
        return _norm(self.norm, self.map(points))


class OverTime(nn.Module):
    """Convolution over the frames of each clip, for each point by itself, and BatchNorm."""

    def __init__(self, channels: int, kernel_size: int) -> None:
        super().__init__()
        self.conv = nn.Conv1d(channels, channels, kernel_size, padding=kernel_size // 2)
        self.norm = nn.BatchNorm1d(channels)

    def forward(self, points: Tensor, lengths: Tensor) -> Tensor:
        """Return features of the points: (N, V, C) -> (N, V, C)."""
        # Zeros between the clips: each clip has the borders that it has alone, without padding to a length.
        gap = self.conv.padding[0]
        assert isinstance(gap, int)
        clips = torch.repeat_interleave(torch.arange(len(lengths), device=lengths.device), lengths)
        rows = torch.arange(len(points), device=points.device) + gap * clips.to(points.device)
        spaced = points.new_zeros(len(points) + gap * (len(lengths) - 1), *points.shape[1:])
        spaced[rows] = points
        mixed = self.conv(spaced.permute(1, 2, 0)).permute(2, 0, 1)  # (V, C, T) and back
        return _norm(self.norm, mixed[rows])


def _norm(norm: nn.BatchNorm1d, points: Tensor) -> Tensor:
    """Normalise over all frames and points: (N, V, C) -> (N, V, C)."""
    return norm(points.flatten(0, 1)).unflatten(0, points.shape[:2])


class GraphChain(nn.Module):
    """Graph blocks in a row."""

    def __init__(self, widths: list[int], *, part: Part, kernel_size: int = 1) -> None:
        super().__init__()
        self.blocks = nn.ModuleList(
            GraphBlock(inputs, outputs, part=part, kernel_size=kernel_size)
            for inputs, outputs in zip(widths, widths[1:], strict=False)
        )

    def forward(self, points: Tensor, lengths: Tensor) -> Tensor:
        """Return features of the points: (N, V, C) -> (N, V, C')."""
        for block in self.blocks:
            points = block(points, lengths)
        return points


class PoseGraph(nn.Module):
    """Graph network of body, hands and face: a vector for each frame.

    Padding does not exist: the frames of all clips are packed, one clip behind the other.
    """

    def __init__(self, *, width: int, output_size: int) -> None:
        """Make a network with random weights.

        Args:
            width: channels of a part, a multiple of 4.
            output_size: size of the vector of a frame.
        """
        super().__init__()
        spatial, temporal = [width // 4, width // 4, width // 2, width], [width] * 4
        self.points = nn.ModuleDict({kind: nn.Linear(3, width // 4) for kind in _SPANS})
        self.spatial = nn.ModuleDict({kind: GraphChain(spatial, part=part) for kind, part in _SPANS.items()})
        self.temporal = nn.ModuleDict(
            {kind: GraphChain(temporal, part=part, kernel_size=KERNEL_SIZE) for kind, part in _SPANS.items()}
        )
        self.part_bias = nn.Parameter(torch.zeros(len(PARTS) * width))
        self.out = nn.Linear(len(PARTS) * width, output_size)
        for layer in (self.out, *self.points.values()):
            assert isinstance(layer, nn.Linear)
            nn.init.trunc_normal_(layer.weight, std=0.02)
            nn.init.zeros_(layer.bias)

    def forward(self, poses: Tensor, lengths: Tensor) -> Tensor:
        """Return a vector for each frame.

        Args:
            poses: normalised key points of all clips, packed (N, 69, 3).
            lengths: frames per clip (B,), int64, each at least 1, summing to N.

        Returns:
            Vectors (N, D).
        """
        spatial = {
            part: self.spatial[kind](self.points[kind](poses[:, SLICES[part]]), lengths)
            for part, kind in KINDS.items()
        }
        # Detached, as published: hands and face do not train the body.
        body = spatial["body"].detach()
        for part, joint in _JOINTS.items():
            spatial[part] = spatial[part] + body[:, joint, None]
        parts = [self.temporal[kind](spatial[part], lengths).mean(1) for part, kind in KINDS.items()]
        return self.out(torch.cat(parts, dim=-1) + self.part_bias)
