"""The optional contrastive loss: a clip's features near its own sentence, far from the batch's others."""

import torch
from torch import Tensor
from torch.nn.functional import cross_entropy, normalize

MEANINGFUL_CLIPS = 8
"""Below so many clips a batch has too few other sentences to tell from; one clip has none: its loss is 0."""


def alignment_loss(clips: Tensor, texts: Tensor, *, same: Tensor, temperature: float) -> Tensor:
    """Return the symmetric InfoNCE loss between pooled features and pooled text, the mean over clips.

    Args:
        clips: (B, D).
        texts: (B, D).
        same: whether clips i and j have the same sentence (B, B): they share the target, since neither is a
            wrong answer for the other.
        temperature: cosines are divided by it.

    Source: CLIP (Radford et al., 2021), figure 3; equal sentences as in UniCL (Yang et al., 2022).
    """
    cosines = normalize(clips.float(), dim=-1) @ normalize(texts.float(), dim=-1).T
    logits = cosines / temperature
    target = same.float() / same.sum(dim=1, keepdim=True)  # symmetric in i and j
    return (cross_entropy(logits, target) + cross_entropy(logits.T, target)) / 2


def pool(rows: Tensor, lengths: Tensor) -> Tensor:
    """Return the mean of each row's first ``lengths`` positions: (B, S, D), (B,) -> (B, D).

    >>> pool(torch.tensor([[[1.0], [3.0], [9.0]]]), torch.tensor([2]))
    tensor([[2.]])
    """
    valid = torch.arange(rows.shape[1], device=rows.device) < lengths[:, None]
    total = rows.float().masked_fill(~valid[..., None], 0.0).sum(dim=1)
    return total / lengths.clamp(min=1)[:, None]
