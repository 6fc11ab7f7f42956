"""WER and exact match: by hand, against a search over all alignments, and their laws."""

import random
from functools import cache

import pytest

from fla_llm.scoring import Scores, compare, score
from fla_llm.scoring.word_errors import count_edits


def edits_by_search(hypothesis: str, reference: str) -> tuple[int, int, int]:
    """Return the edits of the best of all alignments: fewest edits first, then fewest substitutions."""

    @cache
    def best(i: int, j: int) -> tuple[int, int, int, int]:
        # Each entry: all edits, substitutions, insertions, deletions. Tuples compare in this order.
        if i == len(hypothesis) and j == len(reference):
            return 0, 0, 0, 0
        ways = []
        if i < len(hypothesis) and j < len(reference):
            wrong = int(hypothesis[i] != reference[j])
            ways.append((best(i + 1, j + 1), (wrong, wrong, 0, 0)))
        if i < len(hypothesis):
            ways.append((best(i + 1, j), (1, 0, 1, 0)))
        if j < len(reference):
            ways.append((best(i, j + 1), (1, 0, 0, 1)))
        return min(tuple(map(sum, zip(*way, strict=True))) for way in ways)  # type: ignore[return-value]

    _, substitutions, insertions, deletions = best(0, 0)
    return insertions, deletions, substitutions


def scored(hypothesis: str, reference: str, **rules: str) -> Scores:
    return score([hypothesis], [reference], **{"language": "de", **rules})  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("hypothesis", "reference", "edits"),
    [
        ("regen im norden", "regen im norden", (0, 0, 0)),
        ("regen norden", "regen im norden", (0, 1, 0)),
        ("regen im im norden", "regen im norden", (1, 0, 0)),
        ("regen im süden", "regen im norden", (0, 0, 1)),
        ("", "regen im norden", (0, 3, 0)),
        # Two substitutions are two edits too, but the alignment at "a" has a correct word.
        ("b a", "a b", (1, 1, 0)),
        # An umlaut and a capital letter are letters of their own.
        ("Größere", "größere", (0, 0, 1)),
    ],
)
def test_edits_by_hand(hypothesis: str, reference: str, edits: tuple[int, int, int]) -> None:
    assert count_edits(hypothesis.split(), reference.split()) == edits
    assert scored(hypothesis, reference).wer == pytest.approx(100 * sum(edits) / len(reference.split()))


def test_edits_are_those_of_the_best_alignment() -> None:
    draw = random.Random(0)
    for _ in range(200):
        hypothesis, reference = ("".join(draw.choices("abc", k=draw.randint(0, 7))) for _ in range(2))
        assert count_edits(hypothesis, reference) == edits_by_search(hypothesis, reference)


def test_insertions_and_deletions_change_places_with_the_sides() -> None:
    draw = random.Random(1)
    for _ in range(50):
        one, other = ("".join(draw.choices("abcd", k=draw.randint(0, 12))) for _ in range(2))
        insertions, deletions, substitutions = count_edits(one, other)
        assert count_edits(other, one) == (deletions, insertions, substitutions)
        assert insertions - deletions == len(one) - len(other)


def test_the_rate_is_of_the_corpus_not_the_mean_of_sentences() -> None:
    # 1 edit in 1 word and none in 4: 1 of 5. The mean would be 50.
    scores = score(["x", "a b c d"], ["e", "a b c d"])
    assert (scores.wer, scores.exact_match) == (pytest.approx(20), 50)
    counts = {
        "insertions": 0, "deletions": 0, "substitutions": 1, "reference_words": 5, "exact_sentences": 1,
    }  # fmt: skip
    assert vars(scores.word_errors) == counts
    assert counts.items() <= scores.to_dict().items()


def test_more_words_than_the_reference_give_more_than_100() -> None:
    assert scored("a b c d", "x").wer == 400


@pytest.mark.parametrize(
    ("protocol", "language", "hypothesis", "reference", "wer"),
    [
        # 13a splits the full stop from its word, white space alone does not.
        ("sacrebleu", "de", "es regnet", "es regnet.", 100 / 3),
        ("signjoey", "de", "es regnet", "es regnet.", 50),
        # A protocol that removes the full stop does not count it.
        ("gfslt", "de", "es regnet", "es regnet .", 0),
        # Chinese by character, whatever the spaces.
        ("sacrebleu", "zh", "今天 星期六", "今天星期几", 20),
        ("sltbaselines", "zh", "今天星期六", "今天星期几", 20),
        # SpaMo scores in lower case.
        ("spamo", "en", "It rains", "it rains", 0),
    ],
)
def test_words_are_the_tokens_of_the_protocols_bleu(
    protocol: str, language: str, hypothesis: str, reference: str, wer: float
) -> None:
    scores = scored(hypothesis, reference, protocol=protocol, language=language)
    assert scores.wer == pytest.approx(wer)
    assert scores.exact_match == (100 if wer == 0 else 0)


def test_the_signature_names_the_tokens() -> None:
    assert " WER|avg:corpus|edits:1|tok:char " in scored("今", "今天", language="zh").signature
    assert " WER|avg:corpus|edits:1|tok:none " in scored("a", "b", protocol="signjoey").signature


def test_a_reference_without_words_is_no_error() -> None:
    """13a removes this text, which a caption of a film may hold."""
    assert scored("<skipped>", "<skipped>").wer == 0
    assert scored("a b", "<skipped>").wer == 200


def test_a_difference_of_wer_is_tested() -> None:
    references = [f"am tag {number} regnet es im norden ." for number in range(40)]
    near, far = [text.replace("norden", "osten") for text in references], ["es schneit ."] * 40
    found = compare(near, far, references, language="de", resamples=100)["wer"]
    assert found.first == score(near, references, language="de").wer == pytest.approx(100 / 8)
    assert found.second == score(far, references, language="de").wer
    assert found.p_value == pytest.approx(1 / 101)
