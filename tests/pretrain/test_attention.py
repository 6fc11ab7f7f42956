"""Cross-attention of stage one: a distribution over the steps of the clip, whatever stands beside it."""

from collections.abc import Callable
from typing import Any

import torch

from fla_llm.corpora.manifest import Manifest
from fla_llm.pretrain.data import TrainingClips, collate
from fla_llm.pretrain.frames import FrameStore


def test_weights_sum_to_one_over_the_clip_and_padding_changes_nothing(
    corpus: Manifest, tiny_model: Callable[..., Any]
) -> None:
    model = tiny_model().eval()
    samples = corpus.split("train")
    clips = TrainingClips(
        samples,
        store=FrameStore(corpus, model.config.encoder),
        tokenizer=model.tokenizer,
        config=model.config,
    )
    shortest, longest = (
        clips.get(samples.index(choose(samples, key=lambda sample: sample.num_frames)), 0)
        for choose in (min, max)
    )
    assert not isinstance(shortest, tuple)
    both = model.cross_attention(collate([shortest, longest]))
    alone = model.cross_attention(collate([shortest]))[0]
    labels, steps = alone.shape
    assert both.shape[2] > steps
    torch.testing.assert_close(both[0, :labels, :steps], alone, atol=1e-5, rtol=1e-4)
    torch.testing.assert_close(alone.sum(dim=1), torch.ones(labels))
    assert both[0, :labels, steps:].abs().max() < 1e-6
