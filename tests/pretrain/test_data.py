"""Clips, frames in memory, and what is drawn for them."""

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch

from fla_llm.core.errors import ConfigError, DataError
from fla_llm.corpora.manifest import Manifest
from fla_llm.pretrain.data import EvaluationClips, TrainingClips, collate, drop_frames
from fla_llm.pretrain.frames import FrameStore
from fla_llm.pretrain.tokenizer import make_tokenizer
from fla_llm.training.batches import DUMMY, UNREADABLE, BatchDataset

Make = Callable[..., Any]


def training_clips(corpus: Manifest, config: Any) -> TrainingClips:
    samples = corpus.split("train")
    tokenizer = make_tokenizer([sample.text for sample in samples], config.tokenizer)
    return TrainingClips(
        samples, store=FrameStore(corpus, config.encoder), tokenizer=tokenizer, config=config
    )


def test_kept_frames_are_those_that_are_decoded(corpus: Manifest, tiny_config: Make) -> None:
    config = tiny_config().encoder
    kept, decoding = FrameStore(corpus, config), FrameStore(corpus, config)
    samples = corpus.split("train")
    assert kept.keep(samples, phases=(0, 1), gib=1.0) == []
    for phase in (0, 1):
        for sample in samples[:3]:
            assert np.array_equal(kept.read(sample, phase=phase), decoding.read(sample, phase=phase))


def test_only_frames_of_the_phases_in_use_are_kept_and_no_more_than_allowed(
    corpus: Manifest, tiny_config: Make
) -> None:
    samples, config = corpus.split("train"), tiny_config().encoder
    one, both, none = (FrameStore(corpus, config) for _ in range(3))
    one.keep(samples, phases=(0,), gib=1.0)
    both.keep(samples, phases=(0, 1), gib=1.0)
    none.keep(samples, phases=(0, 1), gib=0.0)
    assert both.filled_gib == pytest.approx(2 * one.filled_gib)
    assert none.filled_gib == 0.0
    half = FrameStore(corpus, config)
    half.keep(samples, phases=(0, 1), gib=both.filled_gib / 2)
    assert 0 < half.filled_gib <= both.filled_gib / 2


@pytest.mark.parametrize("gib", [0.0, 1.0])
def test_an_unreadable_clip_is_listed_and_not_fatal(corpus: Manifest, tiny_config: Make, gib: float) -> None:
    good = corpus.split("train")[0]
    bad = replace(good, id="gone", video="gone.mp4")
    unreadable = FrameStore(corpus, tiny_config().encoder).keep([bad, good], phases=(0,), gib=gib)
    assert [(clip.id, clip.split) for clip in unreadable] == [("gone", "train")]
    assert "gone.mp4" in unreadable[0].reason


def test_augmentation_is_drawn_from_seed_epoch_and_id(corpus: Manifest, tiny_config: Make) -> None:
    clips = training_clips(corpus, tiny_config(augment__probability=1))
    first, again = clips.get(0, epoch=1)["frames"], clips.get(0, epoch=1)["frames"]
    assert torch.equal(first, again)
    assert first.shape[1:] == (3, 28, 28)
    assert not torch.equal(first, clips.get(0, epoch=2)["frames"])


def test_training_draws_phases_and_evaluation_keeps_one(corpus: Manifest, tiny_config: Make) -> None:
    config = tiny_config(augment__probability=0, encoder__resize_size=28)
    clips = training_clips(corpus, config)
    drawn = [clips.get(0, epoch)["frames"] for epoch in range(8)]
    both = [
        EvaluationClips(clips.samples, store=clips.store, image_size=28, phase=phase).get(0, 0)["frames"]
        for phase in (0, 1)
    ]
    assert {next(p for p in (0, 1) if torch.equal(frames, both[p])) for frames in drawn} == {0, 1}


@pytest.mark.parametrize("most", [0.0, 0.3, 0.9])
def test_dropped_frames_leave_the_others_in_order(most: float) -> None:
    frames = np.arange(20)
    drawn = [drop_frames(frames, most=most, seed=seed) for seed in range(200)]
    assert all((np.diff(kept) > 0).all() for kept in drawn)
    shares = [1 - len(kept) / 20 for kept in drawn]
    assert max(shares) <= most
    assert (min(shares), max(shares) >= most - 0.1) == (0, True)
    assert all(len(drop_frames(frames[:1], most=most, seed=seed)) == 1 for seed in range(9))


@pytest.mark.parametrize("share", [-0.1, 1.0])
def test_a_share_of_dropped_frames_out_of_range_is_refused(tiny_config: Make, share: float) -> None:
    with pytest.raises(ConfigError, match="drop_frames must be at least 0 and below 1"):
        tiny_config(drop_frames=share)


def test_a_sentence_longer_than_the_positions_is_refused(corpus: Manifest, tiny_config: Make) -> None:
    config = tiny_config(translator__positions=20, tokenizer__vocab_size=22)
    long = replace(corpus.split("train")[0], id="long", text="regen wind " * 10)
    tokenizer = make_tokenizer([long.text], config.tokenizer)
    with pytest.raises(DataError, match=r"Sentence 'long' must have at most .* \(20\) tokens"):
        TrainingClips([long], store=FrameStore(corpus, config.encoder), tokenizer=tokenizer, config=config)


def test_a_clip_damaged_in_training_is_left_out_of_its_batch(corpus: Manifest, tiny_config: Make) -> None:
    clips = training_clips(corpus, tiny_config())
    clips.samples[0] = replace(clips.samples[0], video="gone.mp4")
    mixed, damaged = BatchDataset(clips, [[0, 1], [0]], collate), BatchDataset(clips, [[0]], collate)
    assert len(mixed[0]["lengths"]) == len(mixed[0]["labels"]) == 1
    assert [(clip.id, clip.split) for clip in mixed[0][UNREADABLE]] == [("train/0", "train")]
    assert DUMMY not in mixed[0]
    assert mixed[1][DUMMY]  # steps are counted: another batch stands in, without weight
    with pytest.raises(DataError, match=r"No training clip can be read .*'train/0' is left out: .*gone.mp4"):
        damaged[0]
