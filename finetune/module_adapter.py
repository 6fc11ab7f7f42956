"""Module adapter of MMSLT: two convolutions over time, each with BatchNorm, ReLU and pooling, then an MLP.

The published code pads features with the value 1 and lets BatchNorm see the padding. Here padding is zero,
stays zero behind every layer, and enters no statistics: the embeddings of a clip do not depend on the clips
beside it. Convolutions keep the number of steps, and pooling rounds up, so that the shortest clip keeps one
step. In the published code a clip of fewer than 16 steps has none left.
"""

import torch
from torch import Tensor, nn

POOL = 2
"""Number of steps that a pooling joins to one."""


class ModuleAdapter(nn.Module):
    """Adapter over padded features: (B, T, F) -> (B, S, D), S = ceil(T / 4)."""

    def __init__(self, feature_size: int, embedding_size: int, *, hidden_size: int, kernel: int) -> None:
        super().__init__()
        self.blocks = nn.ModuleList(
            _Block(size, hidden_size, kernel=kernel) for size in (feature_size, hidden_size)
        )
        self.mlp = nn.Sequential(
            nn.Linear(hidden_size, hidden_size), nn.ReLU(), nn.Linear(hidden_size, embedding_size)
        )

    def forward(self, features: Tensor, lengths: Tensor | None) -> Tensor:
        """Return vectors (B, S, D). What lies past each end is no part of a clip.

        Args:
            features: features of each clip (B, T, F), zero past each end.
            lengths: steps of each clip (B,). None: all steps are real.
        """
        if lengths is None:
            lengths = torch.full((len(features),), features.shape[1], device=features.device)
        for block in self.blocks:
            features = block(features, lengths)
            lengths = (lengths + POOL - 1) // POOL
        return self.mlp(features)


class _Block(nn.Module):
    """Convolution, BatchNorm over real steps, ReLU and max pooling: (B, T, F) -> (B, ceil(T / 2), H)."""

    def __init__(self, feature_size: int, hidden_size: int, *, kernel: int) -> None:
        super().__init__()
        self.convolution = nn.Conv1d(feature_size, hidden_size, kernel, padding=kernel // 2)
        self.norm = nn.BatchNorm1d(hidden_size)

    def forward(self, features: Tensor, lengths: Tensor) -> Tensor:
        convolved = self.convolution(features.transpose(1, 2)).transpose(1, 2)
        is_real = torch.arange(convolved.shape[1], device=lengths.device) < lengths[:, None]
        # Rows of real steps alone: padding must not move the statistics.
        rows = torch.relu(self._normalised(convolved[is_real]))
        padded = rows.new_zeros(convolved.shape)
        padded[is_real] = rows
        # Behind ReLU nothing is below the zeros of the padding, so that no maximum comes from them alone.
        pooled = nn.functional.max_pool1d(padded.transpose(1, 2), POOL, ceil_mode=True)
        return pooled.transpose(1, 2)

    def _normalised(self, rows: Tensor) -> Tensor:
        # One step has no variance: a batch of that kind uses the running statistics.
        if self.training and len(rows) > 1:
            return self.norm(rows)
        norm = self.norm
        return nn.functional.batch_norm(
            rows, norm.running_mean, norm.running_var, norm.weight, norm.bias, eps=norm.eps
        )
