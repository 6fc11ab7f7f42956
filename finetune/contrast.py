"""Optional contrastive loss: features near the sentence of the clip, far from other sentences."""

import torch
from torch import Tensor
from torch.nn.functional import cross_entropy, normalize

MEANINGFUL_CLIPS = 8
"""Smallest useful batch. The loss compares sentences in a batch, and is 0 for a single clip."""


def alignment_loss(clips: Tensor, texts: Tensor, *, temperature: float) -> Tensor:
    """Return the symmetric InfoNCE loss between pooled features and pooled text, the mean over clips.

    Args:
        clips: pooled features (B, D).
        texts: pooled embeddings (B, D).
        temperature: divisor of the cosines.

    Source: CLIP (Radford et al., 2021), figure 3.
    """
    # fp32: cosines divided by a small temperature would lose digits in bf16.
    logits = normalize(clips.float(), dim=-1) @ normalize(texts.float(), dim=-1).T / temperature
    # Clips with the same sentence need no mask: the text is the same point, and the pushes cancel.
    own = torch.arange(len(logits), device=logits.device)
    return (cross_entropy(logits, own) + cross_entropy(logits.T, own)) / 2


def pool(rows: Tensor, lengths: Tensor) -> Tensor:
    """Return the mean of each row's first ``lengths`` positions: (B, S, D), (B,) -> (B, D).

    >>> pool(torch.tensor([[[1.0], [3.0], [9.0]]]), torch.tensor([2]))
    tensor([[2.]])
    """
    valid = torch.arange(rows.shape[1], device=rows.device) < lengths[:, None]
    total = rows.float().masked_fill(~valid[..., None], 0.0).sum(dim=1)
    # An empty sentence has length 0.
    return total / lengths.clamp(min=1)[:, None]
