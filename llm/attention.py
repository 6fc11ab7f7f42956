"""Attention weights of transformers' models, for pictures of single clips."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor

from ..core.errors import ModelError


@contextmanager
def eager_attention(model: Any) -> Iterator[None]:
    """Compute attention by plain matrix products: the fast kernels return no weights."""
    before = model.config._attn_implementation
    if before == "eager":
        yield
        return
    # On the model, not on its config alone: parts of a model may have configs of their own.
    model.set_attn_implementation("eager")
    try:
        yield
    finally:
        model.set_attn_implementation(before)


def mean_weights(layers: Sequence[Tensor | None] | None, *, kind: str) -> Tensor:
    """Average attention weights over layers and heads: layers of (B, H, L, S) -> (B, L, S) float32.

    Args:
        layers: weights of each layer, as a model returns them.
        kind: type of the model, for the error.

    Raises:
        ModelError: the model returns no weights.
    """
    found = [weights.float().mean(dim=1) for weights in layers or () if weights is not None]
    if not found:
        raise ModelError(f"The attention of {kind!r} cannot be shown: the model returns no weights.")
    return torch.stack(found).mean(dim=0)
