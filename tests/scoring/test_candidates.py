"""Candidates: a choice that reads no reference, diversity by its definition, an oracle that is a bound."""

import inspect
import random
from itertools import permutations

import pytest
from sacrebleu.metrics.bleu import BLEU
from sacrebleu.metrics.chrf import CHRF

from fla_llm.scoring.candidates import choose, score_candidates
from fla_llm.scoring.protocols import find_protocol
from fla_llm.scoring.score import score

RULES = find_protocol("sacrebleu")
CANDIDATES = [
    ["the dog sees the cat .", "the dog saw the cat .", "a dog sees the cat .", "rain in the north ."],
    ["it rains .", "it rains .", "it snows .", "the sun shines in the south ."],
]
REFERENCES = ["the dog saw a cat .", "the sun shines in the south ."]


def test_the_choice_cannot_reach_a_reference() -> None:
    assert "references" not in inspect.signature(choose).parameters


@pytest.mark.parametrize("how", ["mbr", "mbr-bleu"])
def test_the_choice_is_the_candidate_with_the_highest_mean_gain(how: str) -> None:
    metric = CHRF() if how == "mbr" else BLEU(effective_order=True)
    for texts in CANDIDATES:
        gains = [sum(metric.sentence_score(one, [other]).score for other in texts) for one in texts]
        chosen = choose(texts, how=how, language="en", protocol=RULES)  # type: ignore[arg-type]
        assert gains[chosen] == max(gains)
        assert chosen != 3  # the outlier


def test_a_repeated_candidate_outvotes_and_of_equals_the_first_is_taken() -> None:
    assert choose(["a b c d", "x y z w", "x y z w"], how="mbr", language="en", protocol=RULES) == 1
    assert choose(["x y z w", "a b c d"], how="mbr", language="en", protocol=RULES) == 0
    assert choose(["x", "y"], how="best", language="en", protocol=RULES) == 0
    assert choose(["", ""], how="mbr-bleu", language="en", protocol=RULES) == 0


def test_diversity_follows_its_definitions() -> None:
    found = score_candidates(CANDIDATES, REFERENCES, language="en", protocol=RULES)
    bleu, chrf = BLEU(effective_order=True), CHRF()
    own = [
        [bleu.sentence_score(text, [*clip[:n], *clip[n + 1 :]]).score for n, text in enumerate(clip)]
        for clip in CANDIDATES
    ]
    assert found.self_bleu == pytest.approx(sum(map(sum, own)) / 8)
    pairs = [chrf.sentence_score(a, [b]).score for clip in CANDIDATES for a, b in permutations(clip, 2)]
    assert found.pairwise_chrf == pytest.approx(sum(pairs) / 24)
    words = [[word for text in clip for word in text.split()] for clip in CANDIDATES]
    assert found.distinct_1 == pytest.approx(
        100 * sum(len(set(clip)) for clip in words) / sum(map(len, words))
    )
    assert (found.candidates, found.distinct_sentences) == (4, 3.5)


def test_alike_candidates_are_least_diverse_and_different_ones_most() -> None:
    alike = score_candidates(
        [["a b c d e"] * 5, ["f g h i j"]], ["a b", "c d"], language="en", protocol=RULES
    )
    assert (alike.self_bleu, alike.pairwise_chrf, alike.distinct_sentences) == (100, 100, 1)
    apart = score_candidates([["a b c d", "e f g h", "i j k l"]], ["a b"], language="en", protocol=RULES)
    assert (apart.self_bleu, apart.distinct_1, apart.distinct_2) == (0, 100, 100)


def test_no_choice_beats_the_oracle_and_one_candidate_is_its_own() -> None:
    generator = random.Random(0)
    words = list("abcdefgh")
    references = [" ".join(generator.choices(words, k=8)) for _ in range(12)]
    clips = [[" ".join(generator.sample(text.split(), 8)) for _ in range(6)] for text in references]
    oracle = score_candidates(clips, references, language="en", protocol=RULES).oracle_bleu4
    for rank in range(6):
        column = [clip[rank] for clip in clips]
        assert score(column, references).bleu4 <= oracle
        alone = score_candidates([[text] for text in column], references, language="en", protocol=RULES)
        assert alone.oracle_bleu4 == pytest.approx(score(column, references).bleu4)


def test_steps_of_the_protocol_come_first() -> None:
    """gfslt removes a German full stop, so two sentences that differ in it are one."""
    clips, references = [["regen im norden .", "regen im norden"]], ["regen im norden ."]
    for name, different in (("sacrebleu", 2), ("gfslt", 1)):
        found = score_candidates(clips, references, language="de", protocol=find_protocol(name))
        assert found.distinct_sentences == different
