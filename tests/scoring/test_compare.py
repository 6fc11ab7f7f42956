"""Two systems on the same sentences."""

import pytest

from fla_llm.core.errors import DataError
from fla_llm.scoring import compare, score

REFERENCES = [f"am tag {number} regnet es im norden und im süden ." for number in range(40)]
GOOD = [text.replace("süden", "osten") for text in REFERENCES]
BAD = ["es schneit in den alpen und es bleibt kalt ." for _ in REFERENCES]


def test_a_system_far_better_is_significantly_so() -> None:
    found = compare(GOOD, BAD, REFERENCES, language="de", resamples=200)
    assert found["bleu4"].first > 60
    assert found["bleu4"].second < 10
    # No resample is as far from their mean as the difference itself: (0 + 1) / (200 + 1)
    assert found["bleu4"].p_value == pytest.approx(1 / 201)
    assert found["chrf"].p_value == pytest.approx(1 / 201)
    assert found["rouge_l"].p_value == pytest.approx(1 / 201)


def test_scores_are_those_of_score() -> None:
    found = compare(GOOD, BAD, REFERENCES, language="de", resamples=50)
    scores = score(BAD, REFERENCES, language="de")
    assert (found["bleu4"].second, found["chrf"].second) == (scores.bleu4, scores.chrf)
    assert found["rouge_l"].second == scores.rouge_l


def test_a_system_is_no_better_than_itself() -> None:
    assert compare(GOOD, list(GOOD), REFERENCES, resamples=50)["bleu4"].p_value == 1.0


def test_two_systems_of_one_quality_are_not_told_apart() -> None:
    half = [good if index % 2 else bad for index, (good, bad) in enumerate(zip(GOOD, BAD, strict=True))]
    other = [bad if index % 2 else good for index, (good, bad) in enumerate(zip(GOOD, BAD, strict=True))]
    assert compare(half, other, REFERENCES, resamples=200)["bleu4"].p_value > 0.1


def test_the_signature_tells_seed_and_resamples() -> None:
    signature = compare(GOOD, BAD, REFERENCES, resamples=50)["bleu4"].signature
    assert "bs:50|seed:12345|" in signature


def test_unequal_counts_are_refused() -> None:
    with pytest.raises(DataError, match="39 hypotheses and 40 references"):
        compare(GOOD, BAD[1:], REFERENCES)
