"""Baselines of the demo: what signs without order and memory alone score."""

import random
from itertools import islice

import pytest

from fla_llm.demo.baselines import baseline_figures, nearest_training_sentences
from fla_llm.demo.corpus import DemoConfig, plan_clips
from fla_llm.demo.grammar import draw_sentences, sentence_of

CONFIG = DemoConfig(language="roles", train_clips=200, single_sign_clips=40, dev_clips=2, test_clips=30)


def test_the_signs_of_a_sentence_tell_the_sentence_in_any_order() -> None:
    rng = random.Random(1)
    for sentence in islice(draw_sentences(rng), 300):
        signs = list(sentence.signs)
        rng.shuffle(signs)
        assert sentence_of(signs) == sentence


def test_memory_scores_less_than_signs_without_order() -> None:
    figures = baseline_figures(plan_clips(CONFIG, seed=42))
    assert figures["bag_of_signs"] == pytest.approx(100)
    assert 0 < figures["nearest_training_sentence"] < 60


def test_the_nearest_sentence_shares_the_largest_part() -> None:
    training = ["the cat sees ben", "the dog sees the cat today", "anna"]
    assert nearest_training_sentences(["the dog sees anna", "anna", "xyz"], training) == [
        training[1], training[2], training[0],
    ]  # fmt: skip
