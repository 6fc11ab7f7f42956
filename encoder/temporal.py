"""Temporal module over neighbouring frames: from frame features to sign features (paper, section 3.2)."""

import torch
import torch.nn.functional as F
from torch import Tensor, nn


class TemporalModule(nn.Module):
    """Conv1d, BatchNorm and ReLU, with as many steps in the output as in the input.

    Padding changes no value, in training too: steps past the end of a clip are zero before the convolution
    and never enter the statistics.
    """

    def __init__(self, *, frame_size: int, hidden_size: int, kernel_size: int) -> None:
        super().__init__()
        self.conv = nn.Conv1d(frame_size, hidden_size, kernel_size, padding=kernel_size // 2)
        self.norm = nn.BatchNorm1d(hidden_size)

    def forward(self, frames: Tensor, lengths: Tensor) -> Tensor:
        """Mix each step with neighbouring steps.

        Args:
            frames: frame features of B clips, one behind the other (N, F).
            lengths: steps per clip (B,), int64, summing to N.

        Returns:
            Sign features (B, T, D), zero past each end. T is the longest length.
        """
        return pad_packed(self.packed(frames, lengths), lengths)[0]

    def packed(self, frames: Tensor, lengths: Tensor) -> Tensor:
        """Return the sign features of :meth:`forward` without padding: (N, F) -> (N, D)."""
        padded, valid = pad_packed(frames, lengths)
        mixed = self.conv(padded.transpose(1, 2)).transpose(1, 2)  # (B, T, F) -> (B, T, D)
        return F.relu(normalise_packed(self.norm, mixed[valid]))

    def single(self, frames: Tensor) -> Tensor:
        """Return the same as :meth:`forward` of one clip, bit for bit: (T, F) -> (T, D)."""
        # Without padding there is no mask, and nothing waits for the device.
        mixed = self.conv(frames[None].transpose(1, 2))[0].T  # (1, T, F) -> (T, D)
        return F.relu(normalise_packed(self.norm, mixed.contiguous()))


def normalise_packed(norm: nn.BatchNorm1d | nn.SyncBatchNorm, packed: Tensor) -> Tensor:
    """Apply BatchNorm to the steps of all clips: (N, C) -> (N, C)."""
    # One step has no variance: the running statistics serve. Synchronised processes have more steps.
    if norm.training and len(packed) == 1 and not isinstance(norm, nn.SyncBatchNorm):
        return F.batch_norm(packed, norm.running_mean, norm.running_var, norm.weight, norm.bias, eps=norm.eps)
    return norm(packed)


def pad_packed(packed: Tensor, lengths: Tensor) -> tuple[Tensor, Tensor]:
    """Pad packed clips: (N, C) -> (B, T, C), zero past each end, and the mask of steps (B, T)."""
    steps = torch.arange(int(lengths.max()), device=packed.device)
    valid = steps < lengths.to(packed.device)[:, None]  # (B, T)
    padded = packed.new_zeros(*valid.shape, packed.shape[1])
    padded[valid] = packed
    return padded, valid
