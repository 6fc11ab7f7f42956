"""Transformer layers of the autoencoder, the fusion and the denoiser.

Letters: B clips, Q queries, S positions of the context, W width.
"""

import math

import torch
from torch import Tensor, nn
from torch.nn.functional import gelu, scaled_dot_product_attention

HEAD_SIZE = 64
FEED_FORWARD = 4
"""Hidden width of the feed-forward layers, in widths of the model, as in most transformers."""
MAX_PERIOD = 10_000.0
"""Longest period of sines and cosines, in positions (Vaswani et al., 2017)."""


class Attention(nn.Module):
    """Attention of queries (B, Q, W) on a context (B, S, W)."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.heads = count_heads(width)
        self.query = nn.Linear(width, width, bias=False)
        self.key_value = nn.Linear(width, 2 * width, bias=False)
        self.out = nn.Linear(width, width, bias=False)

    def forward(self, queries: Tensor, context: Tensor, mask: Tensor | None = None) -> Tensor:
        """Return (B, Q, W). Positions where ``mask`` (B, S) is False are not read."""
        # Heads stand before positions, as torch's kernel reads them: (B, heads, positions, W / heads).
        query, key, value = (
            rows.unflatten(-1, (self.heads, -1)).transpose(1, 2)
            for rows in (self.query(queries), *self.key_value(context).chunk(2, dim=-1))
        )
        allowed = None if mask is None else mask[:, None, None, :]
        found = scaled_dot_product_attention(query, key, value, attn_mask=allowed)
        return self.out(found.transpose(1, 2).flatten(2))


class Block(nn.Module):
    """Pre-norm layer: self-attention, cross-attention if there is a context, gated feed-forward.

    A vector of the time step scales and shifts each normalised input, from zero at the start of training.
    """

    def __init__(
        self, width: int, *, has_context: bool = False, has_time: bool = False, dropout: float
    ) -> None:
        super().__init__()
        parts = 3 if has_context else 2
        self.norms = nn.ModuleList(nn.LayerNorm(width) for _ in range(parts))
        self.attention = Attention(width)
        self.cross_attention = Attention(width) if has_context else None
        self.inner = nn.Linear(width, 2 * FEED_FORWARD * width)
        self.outer = nn.Linear(FEED_FORWARD * width, width)
        self.dropout = nn.Dropout(dropout)
        self.modulation = nn.Linear(width, 2 * parts * width) if has_time else None
        # Zeros: a new layer behaves like one without a time, and learns the time step by step.
        if self.modulation is not None:
            nn.init.zeros_(self.modulation.weight)
            nn.init.zeros_(self.modulation.bias)

    def forward(
        self,
        x: Tensor,
        *,
        mask: Tensor | None = None,
        context: Tensor | None = None,
        context_mask: Tensor | None = None,
        time: Tensor | None = None,
    ) -> Tensor:
        """Return (B, Q, W).

        Args:
            x: input (B, Q, W).
            mask: real positions of the input (B, Q). None: all.
            context: context of the cross-attention (B, S, W).
            context_mask: real positions of the context (B, S). None: all.
            time: vector of the time step (B, W).
        """
        normed = self._norm(x, 0, time)
        x = x + self.dropout(self.attention(normed, normed, mask))
        if self.cross_attention is not None and context is not None:
            x = x + self.dropout(self.cross_attention(self._norm(x, 1, time), context, context_mask))
        # A gated layer, as in LD4LG: one half of the inner values decides what passes of the other.
        value, gate = self.inner(self._norm(x, len(self.norms) - 1, time)).chunk(2, dim=-1)
        return x + self.dropout(self.outer(value * gelu(gate)))

    def _norm(self, x: Tensor, part: int, time: Tensor | None) -> Tensor:
        normed = self.norms[part](x)
        if self.modulation is None or time is None:
            return normed
        # A scale and a shift for each normalised input of the layer.
        scale, shift = self.modulation(time)[:, None].chunk(2 * len(self.norms), dim=-1)[2 * part :][:2]
        return normed * (1 + scale) + shift


def count_heads(width: int) -> int:
    """Return the number of heads: of 64 values each, or the nearest smaller number that divides the width.

    >>> count_heads(512), count_heads(100), count_heads(32)
    (8, 1, 1)
    """
    # Models of other code have widths that 64 does not divide.
    most = max(1, width // HEAD_SIZE)
    return next(heads for heads in range(most, 0, -1) if width % heads == 0)


def sinusoids(positions: Tensor, width: int) -> Tensor:
    """Return sines and cosines (..., W) of positions (...)."""
    # Periods grow from 2 pi positions to MAX_PERIOD times as many.
    rates = torch.arange(width // 2, device=positions.device) * (-math.log(MAX_PERIOD) / (width // 2))
    angles = positions.float()[..., None] * rates.exp()
    return torch.cat([angles.sin(), angles.cos()], dim=-1)
