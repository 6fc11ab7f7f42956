"""The optional contrastive loss: a clip's features near its own sentence, far from the batch's others."""

import torch
from torch import Tensor
from torch.nn.functional import cross_entropy, normalize

MEANINGFUL_CLIPS = 8
"""Below so many clips a batch has too few other sentences to tell from; one clip has none: its loss is 0."""


def alignment_loss(clips: Tensor, texts: Tensor, *, temperature: float) -> Tensor:
    """Return the symmetric InfoNCE loss between pooled features and pooled text, the mean over clips.

    Clips that share a sentence need no care: their texts are one point, and what pushes them apart cancels.

    Args:
        clips: (B, D).
        texts: (B, D).
        temperature: cosines are divided by it.

    Source: CLIP (Radford et al., 2021), figure 3.
    """
    logits = normalize(clips.float(), dim=-1) @ normalize(texts.float(), dim=-1).T / temperature
    own = torch.arange(len(logits), device=logits.device)
    return (cross_entropy(logits, own) + cross_entropy(logits.T, own)) / 2


def pool(rows: Tensor, lengths: Tensor) -> Tensor:
    """Return the mean of each row's first ``lengths`` positions: (B, S, D), (B,) -> (B, D).

    >>> pool(torch.tensor([[[1.0], [3.0], [9.0]]]), torch.tensor([2]))
    tensor([[2.]])
    """
    valid = torch.arange(rows.shape[1], device=rows.device) < lengths[:, None]
    total = rows.float().masked_fill(~valid[..., None], 0.0).sum(dim=1)
    return total / lengths.clamp(min=1)[:, None]
