"""Attention on the features: of every kind of model, of each clip as if it were alone."""

from collections.abc import Callable

import pytest
import torch

from fla_llm.finetune.collate import collate
from fla_llm.finetune.model import StageTwoModel
from fla_llm.llm.loss import TESTED


@pytest.mark.parametrize("shape", sorted(TESTED))
def test_a_clip_in_a_batch_has_the_attention_of_the_clip_alone(
    shape: str, build: Callable[..., StageTwoModel], items: list
) -> None:
    model = build(shape, quantise="none").eval()
    batch = collate(items, codec=model.codec)
    before = model.language_model.model.config._attn_implementation
    together = model.feature_attention(batch)
    for item, weights in zip(items, together, strict=True):
        labels = model.codec.target_ids(item["text"])
        assert weights.shape == (len(labels), len(item["features"]))
        (alone,) = model.feature_attention(collate([item], codec=model.codec))
        torch.testing.assert_close(weights, alone, atol=1e-5, rtol=1e-4)
        shares = weights.sum(dim=1)
        assert shares.min() > 0
        assert shares.max() <= 1 + 1e-5
    assert model.language_model.model.config._attn_implementation == before


def test_attention_follows_the_features_when_they_move(
    build: Callable[..., StageTwoModel], items: list
) -> None:
    """The same weights for another order of steps would be weights of no step in particular."""
    model = build("t5", quantise="none").eval()
    item = items[-1]
    turned = item | {"features": item["features"][::-1].copy()}
    (straight,) = model.feature_attention(collate([item], codec=model.codec))
    (reverse,) = model.feature_attention(collate([turned], codec=model.codec))
    assert not torch.allclose(straight, reverse, atol=1e-4)
