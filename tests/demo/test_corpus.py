"""The demo corpus: its language, its figures, its files."""

import json
import random
from collections import Counter
from dataclasses import replace
from itertools import combinations, islice

import av
import numpy as np
import pytest

from fla_llm.core.errors import ConfigError
from fla_llm.demo.corpus import DemoConfig, demo_text, plan_clips, write_demo_corpus
from fla_llm.demo.figure import draw_clip
from fla_llm.demo.grammar import Sentence, draw_sentences, single_sign_texts
from fla_llm.demo.language import LANGUAGES
from fla_llm.demo.sign_forms import ROLE_FORMS as SIGN_FORMS
from fla_llm.demo.signers import SIGNERS
from fla_llm.demo.signs import RESTING_BODY, sentence_poses

SMALL = DemoConfig(
    language="roles", train_clips=40, single_sign_clips=36, dev_clips=4, test_clips=6, image_size=16
)


@pytest.fixture(scope="module")
def corpus(tmp_path_factory):
    out = tmp_path_factory.mktemp("demo")
    return write_demo_corpus(out, config=SMALL, seed=3, workers=1)


def decode(path):
    with av.open(path) as container:
        return np.stack([frame.to_ndarray(format="rgb24") for frame in container.decode(video=0)])


def draw(count, seed=0):
    return list(islice(draw_sentences(random.Random(seed)), count))


def test_signs_stand_in_another_order_than_words():
    sentence = Sentence(
        person="boy", verb="eat", thing="apple", thing_quality="red",
        place="garden", time="yesterday", negated=True,
    )  # fmt: skip
    assert sentence.text == "the boy did not eat a red apple in the garden yesterday"
    assert sentence.signs == ("yesterday", "garden", "boy", "apple", "red", "eat", "not")


@pytest.mark.parametrize(
    ("time", "negated", "text"),
    [
        (None, False, "the boy eats an apple"),
        (None, True, "the boy does not eat an apple"),
        ("yesterday", False, "the boy ate an apple yesterday"),
        ("tomorrow", False, "the boy will eat an apple tomorrow"),
        ("tomorrow", True, "the boy will not eat an apple tomorrow"),
        ("morning", False, "the boy eats an apple in the morning"),
    ],
)
def test_the_time_tells_the_form_of_the_verb(time, negated, text):
    assert Sentence(person="boy", verb="eat", thing="apple", time=time, negated=negated).text == text


def test_every_sign_of_the_language_has_a_form_and_is_used():
    assert set(single_sign_texts()) == set(SIGN_FORMS)
    assert {sign for sentence in draw(2000) for sign in sentence.signs} == set(SIGN_FORMS)


def test_no_two_signs_have_the_same_form():
    assert len(set(SIGN_FORMS.values())) == len(SIGN_FORMS)


def test_drawn_sentences_differ():
    texts = [sentence.text for sentence in draw(3000)]
    assert len(set(texts)) == 3000


def test_hands_begin_and_end_at_rest_and_do_not_jump():
    poses = sentence_poses(("boy", "apple", "eat"), tempo=1.0, rng=random.Random(0))
    assert poses[0] == poses[-1] == RESTING_BODY
    steps = [np.hypot(b[0].x - a[0].x, b[0].y - a[0].y) for a, b in zip(poses, poses[1:], strict=False)]
    assert max(steps) < 1.0


def test_a_higher_tempo_gives_a_shorter_clip():
    def frames(tempo):
        return sum(len(sentence_poses(("boy",) * 4, tempo=tempo, rng=random.Random(n))) for n in range(20))

    assert frames(1.3) < frames(1.0) < frames(0.7)


def test_signs_look_different():
    """The middle frames of any two signs by one signer differ visibly, movement aside."""
    middles = {}
    for sign in SIGN_FORMS:
        poses = sentence_poses((sign,), tempo=0.6, rng=random.Random(0))
        middles[sign] = draw_clip(SIGNERS[0], poses[3:-3], size=64).astype(float)
    for one, other in combinations(SIGN_FORMS, 2):
        a, b = middles[one], middles[other]
        frames = min(len(a), len(b))
        assert np.abs(a[:frames] - b[:frames]).max(axis=(1, 2, 3)).max() > 60, (one, other)


def test_signers_look_different():
    pictures = [draw_clip(signer, [RESTING_BODY], size=32)[0].astype(float) for signer in SIGNERS]
    assert min(np.abs(a - b).mean() for a, b in combinations(pictures, 2)) > 8


def test_splits_have_the_sizes_asked_for(corpus):
    assert Counter(sample.split for sample in corpus.samples) == {"train": 40, "dev": 4, "test": 6}


def test_no_sentence_stands_in_two_splits(corpus):
    texts = {split: {sample.text for sample in corpus.split(split)} for split in ("train", "dev", "test")}
    assert not texts["train"] & texts["dev"]
    assert not texts["train"] & texts["test"]
    assert not texts["dev"] & texts["test"]


def test_dev_and_test_hold_whole_sentences_only(corpus):
    assert all(len(s.text.split()) >= 4 for split in ("dev", "test") for s in corpus.split(split))


def test_every_sign_is_seen_alone_in_train(corpus):
    assert set(single_sign_texts().values()) <= {sample.text for sample in corpus.split("train")}


def test_one_signer_is_new_in_test(corpus):
    signers = {split: {sample.signer for sample in corpus.split(split)} for split in ("train", "dev", "test")}
    new = SIGNERS[LANGUAGES["roles"].signers - 1].name
    assert new in signers["test"]
    assert new not in signers["train"] | signers["dev"]


def test_videos_hold_what_the_manifest_says(corpus):
    for sample in corpus.split("test"):
        path = corpus.clip(sample).path
        assert decode(path).shape == (sample.num_frames, 16, 16, 3)
        with av.open(path) as container:
            stream = container.streams.video[0]
            assert stream.codec_context.name == "h264"
            assert float(stream.average_rate) == sample.fps


def test_the_same_seed_gives_the_same_corpus(corpus, tmp_path):
    again = write_demo_corpus(tmp_path, config=SMALL, seed=3, workers=2)
    assert again.samples == corpus.samples
    annotations = [root / "annotations.jsonl" for root in (corpus.root, tmp_path)]
    assert annotations[0].read_bytes() == annotations[1].read_bytes()
    for sample in corpus.split("dev"):
        assert np.array_equal(decode(tmp_path / sample.video), decode(corpus.root / sample.video))


def test_another_seed_gives_another_corpus(corpus, tmp_path):
    config = replace(SMALL, train_clips=1, single_sign_clips=0, test_clips=1)
    other = write_demo_corpus(tmp_path, config=config, seed=4, workers=1)
    assert [s.text for s in other.split("dev")] != [s.text for s in corpus.split("dev")]


def test_annotations_have_a_row_for_each_clip(corpus):
    lines = (corpus.root / "annotations.jsonl").read_text().splitlines()
    assert {json.loads(line)["id"] for line in lines} == {sample.id for sample in corpus.samples}


def test_demo_text_keeps_away_from_the_corpus(corpus):
    exclude = {sample.text for sample in corpus.samples}
    texts = demo_text(count=5000, seed=3, exclude=exclude, language="roles")
    assert len(set(texts)) == 5000
    assert not exclude & set(texts)


def test_wordings_of_a_meaning_are_no_wordings_of_another():
    sentences = draw(3000)
    wordings = [wording for sentence in sentences for wording in sentence.wordings]
    assert len(set(wordings)) == len(wordings)
    assert all(sentence.wordings[0] == sentence.text for sentence in sentences)
    assert {len(sentence.wordings) for sentence in sentences} == {2, 3}


def test_paraphrases_vary_the_sentences_and_are_references_of_dev_and_test():
    plain = plan_clips(SMALL, seed=3)
    varied = plan_clips(replace(SMALL, paraphrases=True), seed=3)
    changed = [new.text != old.text for old, new in zip(plain, varied, strict=True)]
    assert 0.2 < sum(changed) / sum(len(plan.signs) > 1 for plan in plain) < 0.9
    for old, new in zip(plain, varied, strict=True):
        assert replace(new, text=old.text, references=()) == old  # what is signed stays
        assert bool(new.references) == (new.split != "train")
        if new.references:
            assert old.text in {new.text, *new.references}
    assert not any(plan.references for plan in plain)
    texts = {text for plan in varied for text in (plan.text, *plan.references)}
    exclude = {plan.text for plan in varied}
    own = demo_text(count=300, seed=3, exclude=exclude, paraphrases=True, language="roles")
    assert not texts & set(own)
    assert any(" by the " in text for text in own)


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"train_clips": 10, "single_sign_clips": 11}, r"must not exceed train_clips \(10\), but is 11"),
        ({"image_size": 33}, "image_size must be an even number from 16 on, but is 33"),
    ],
)
def test_impossible_sizes_are_refused(settings, message):
    with pytest.raises(ConfigError, match=message):
        DemoConfig(**settings)
