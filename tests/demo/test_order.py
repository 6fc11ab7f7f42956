"""The demo language whose order carries meaning: its grammar, its splits, and a translator without order."""

import math
import random
from collections import Counter
from dataclasses import replace
from itertools import islice, pairwise

import pytest

from fla_llm.demo.baselines import baseline_figures, best_without_order
from fla_llm.demo.corpus import ClipPlan, DemoConfig, clip_poses, demo_text, plan_clips
from fla_llm.demo.language import LANGUAGES
from fla_llm.demo.order_grammar import OrderedSentence, draw_sentences, read_signs, readings
from fla_llm.demo.sign_forms import ORDER_FORMS
from fla_llm.demo.signers import SIGNERS
from fla_llm.demo.signs import PLAIN, Manner, sentence_poses
from fla_llm.demo.splits import nearness

ORDER = LANGUAGES["order"]
CONFIG = DemoConfig(language="order", train_clips=1500, single_sign_clips=128, dev_clips=20, test_clips=160)


@pytest.fixture(scope="module")
def plans() -> list[ClipPlan]:
    return plan_clips(CONFIG, seed=42)


def draw(count: int, seed: int = 0) -> list[OrderedSentence]:
    return list(islice(draw_sentences(random.Random(seed)), count))


def edits(one: list[str], other: list[str]) -> int:
    """Return the word edit distance, by dynamic programming."""
    row = list(range(len(other) + 1))
    for i, word in enumerate(one, 1):
        last, row[0] = row[0], i
        for j, theirs in enumerate(other, 1):
            last, row[j] = row[j], min(row[j] + 1, row[j - 1] + 1, last + (word != theirs))
    return row[-1]


@pytest.mark.parametrize(
    ("signs", "text"),
    [
        ("anna show dog ben", "anna shows the dog to ben"),
        ("ben show anna dog", "ben shows anna to the dog"),
        ("old dog see ben call anna", "the old dog sees ben and calls anna"),
        ("ben see anna call old dog", "ben sees anna and calls the old dog"),
        ("today dog see dog garden", "today the dog sees the dog in the garden"),
        ("young anna hear big cat", "young anna hears the big cat"),
    ],
)
def test_the_order_of_signs_tells_who_does_what_to_whom(signs: str, text: str) -> None:
    sentence = read_signs(signs.split())
    assert sentence is not None
    assert sentence.text == text
    assert " ".join(sentence.signs) == signs


def test_signs_give_their_sentence_back_and_some_orders_are_none() -> None:
    assert all(read_signs(sentence.signs) == sentence for sentence in draw(500))
    assert read_signs(["dog", "cat", "see"]) is None
    # A verb of giving needs a recipient.
    assert read_signs(["dog", "introduce", "cat"]) is None


def test_readings_are_all_orders_that_are_sentences() -> None:
    found = readings(["see", "old", "cat", "dog"])
    assert [one.text for one in found] == [
        "the cat sees the old dog", "the dog sees the old cat", "the old cat sees the dog",
        "the old dog sees the cat",
    ]  # fmt: skip
    assert len(readings(["dog", "see", "dog"])) == 1


def test_a_text_has_one_meaning() -> None:
    wordings = [wording for sentence in draw(2000) for wording in sentence.wordings]
    assert len(set(wordings)) == len(wordings)


def test_words_have_the_frequencies_of_zipf() -> None:
    counts = Counter(sign for sentence in draw(4000) for sign in sentence.signs)
    assert counts.keys() == ORDER_FORMS.keys()
    assert len(counts) >= 60
    ranked = [count for _, count in counts.most_common()]
    # The slope of log frequency over log rank, -1 for an ideal law.
    points = [(math.log(rank), math.log(count)) for rank, count in enumerate(ranked, 1)]
    x, y = (sum(values) / len(points) for values in zip(*points, strict=True))
    slope = sum((a - x) * (b - y) for a, b in points) / sum((a - x) ** 2 for a, _ in points)
    assert -1.4 < slope < -0.7
    assert ranked[0] > 15 * ranked[-1]


def test_no_two_signs_have_the_same_form() -> None:
    assert len(set(ORDER_FORMS.values())) == len(ORDER_FORMS)
    assert set(ORDER.single_sign_texts()) == set(ORDER_FORMS)


def test_every_test_sentence_has_a_partner_with_its_signs_in_another_order(plans: list[ClipPlan]) -> None:
    for split in ("dev", "test"):
        own = [plan for plan in plans if plan.split == split]
        for one, other in zip(own[::2], own[1::2], strict=True):
            assert sorted(one.signs) == sorted(other.signs)
            assert one.signs != other.signs
            assert one.text != other.text
    held_out = [plan.text for plan in plans if plan.split != "train"]
    assert len(set(held_out)) == len(held_out)


def test_test_sentences_are_two_word_edits_from_every_training_sentence(plans: list[ClipPlan]) -> None:
    train = {plan.text for plan in plans if plan.split == "train"}
    test = [plan.text for plan in plans if plan.split == "test"]
    is_near = nearness(test, edits=2)
    assert not any(map(is_near, train))
    # The test for nearness is that of the distance.
    near = {(a, b) for a in test for b in test if a != b and edits(a.split(), b.split()) < 2}
    assert {a for a, _ in near} == {a for a in test if nearness(set(test) - {a}, edits=2)(a)}
    shown = random.Random(0).sample(sorted(train), 60)
    assert min(edits(a.split(), b.split()) for a in shown for b in test) >= 2


@pytest.mark.parametrize("text", ["a b c", "a b d", "x b c", "a b", "b c", "a b c d", "x a b c", "a x b c"])
def test_one_edit_is_near_and_two_are_not(text: str) -> None:
    assert nearness(["a b c"], edits=2)(text)
    assert nearness(["a b c"], edits=1)(text) == (text == "a b c")
    for far in (f"{text} y z", "y z", "c b a"):
        assert nearness(["a b c"], edits=2)(far) == (edits(far.split(), ["a", "b", "c"]) < 2)


def test_all_test_clips_are_of_signers_that_train_and_dev_never_show(plans: list[ClipPlan]) -> None:
    signers = {split: {plan.signer for plan in plans if plan.split == split} for split in ("train", "test")}
    assert len(signers["train"]) == 12
    assert len(signers["test"]) == 4
    assert signers["test"].isdisjoint({plan.signer for plan in plans if plan.split != "test"})
    assert max(signers["test"]) < len(SIGNERS)


def test_signs_without_order_tell_less_than_half() -> None:
    figures = [
        baseline_figures(plan_clips(replace(CONFIG, train_clips=400), seed=seed)) for seed in (0, 1, 42)
    ]
    bags = [one["bag_of_signs"] for one in figures]
    assert sum(bags) / len(bags) < 45
    assert max(bags) < 50
    assert bags[-1] < 45  # the demo's own seed
    assert max(one["nearest_training_sentence"] for one in figures) < 50


def test_the_best_guess_without_order_is_the_sentence_most_like_all_readings() -> None:
    signs = ["dog", "see", "cat", "call", "anna"]
    guesses = {best_without_order(order, language="order") for order in (signs, signs[::-1])}
    assert len(guesses) == 1
    assert guesses <= {reading.text for reading in readings(signs)}


def test_one_seed_gives_one_plan(plans: list[ClipPlan]) -> None:
    assert plan_clips(CONFIG, seed=42) == plans
    assert plan_clips(CONFIG, seed=43) != plans
    # The sentences of dev and test do not depend on the size of train.
    fewer = plan_clips(replace(CONFIG, train_clips=200), seed=42)
    assert fewer[:180] == plans[:180]


def test_the_slowest_clips_take_twice_the_time_of_the_fastest(plans: list[ClipPlan]) -> None:
    tempi = sorted(clip_poses(plan)[0].tempo for plan in plans)
    assert tempi[-1] / tempi[0] > 2
    assert clip_poses(plans[0])[0].hand_size == ORDER.manner.hand_size


def test_a_sign_bends_towards_its_neighbours() -> None:
    def hands(signs: tuple[str, ...], bend: float) -> list[float]:
        poses = sentence_poses(
            signs, tempo=0.5, rng=random.Random(0), forms=ORDER_FORMS, manner=Manner(bend=bend)
        )
        return [pose[0].y for pose in poses]

    # "anna" is signed low and "dog" at the forehead.
    straight, bent = (hands(("anna", "dog"), bend) for bend in (0.0, 0.3))
    assert len(straight) == len(bent)
    moved = [b - a for a, b in zip(straight, bent, strict=True)]
    half = len(moved) // 2
    assert min(moved[:half]) < -0.3  # up
    assert max(moved[half:]) > 0.3  # down
    # A sign alone has no neighbours.
    assert hands(("dog",), 0.3) == pytest.approx(hands(("dog",), 0.0))


def test_the_other_hand_is_sometimes_left_out() -> None:
    two_handed = [sign for sign, form in ORDER_FORMS.items() if form.other != "rests"]

    def rests(dropped: float) -> int:
        manner, rng = replace(PLAIN, dropped=dropped), random.Random(1)
        clips = (
            sentence_poses((sign,), tempo=1, rng=rng, forms=ORDER_FORMS, manner=manner)
            for sign in two_handed * 4
        )
        return sum(len({(pose[1].x, pose[1].y) for pose in poses}) == 1 for poses in clips)

    assert rests(0.0) == 0
    assert 0.1 < rests(0.3) / (4 * len(two_handed)) < 0.5
    assert rests(1.0) == 4 * len(two_handed)


def test_text_for_the_language_model_is_of_the_language_and_in_no_split(plans: list[ClipPlan]) -> None:
    own = {plan.text for plan in plans}
    texts = demo_text(count=500, seed=42, exclude=own, language="order")
    assert len(set(texts)) == 500
    assert not own & set(texts)
    words = {word for text in texts for word in text.split()}
    assert {"anna", "shows", "and"} <= words
    assert "eats" not in words


def test_paraphrases_say_the_same_in_other_orders() -> None:
    varied = plan_clips(replace(CONFIG, train_clips=200, paraphrases=True), seed=42)
    assert any(" by " in plan.text for plan in varied)
    assert all(bool(plan.references) == (plan.split != "train") for plan in varied)
    single = [plan for plan in varied if len(plan.signs) == 1]
    assert len(single) == CONFIG.single_sign_clips
    is_near = nearness((t for p in varied if p.split != "train" for t in (p.text, *p.references)), edits=2)
    assert not any(is_near(plan.text) for plan in varied if plan.split == "train")


def test_the_two_languages_share_no_clip_plan() -> None:
    sizes = DemoConfig(train_clips=20, single_sign_clips=4, dev_clips=2, test_clips=4)
    roles, order = (plan_clips(replace(sizes, language=name), seed=1) for name in ("roles", "order"))
    assert [plan.id for plan in roles] == [plan.id for plan in order]
    assert not {plan.text for plan in roles} & {plan.text for plan in order}
    assert all(a.id != b.id for a, b in pairwise(roles))
