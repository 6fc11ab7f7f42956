"""ROUGE-L, with the arithmetic written out."""

import random

import pytest

from fla_llm.scoring.rouge import RougeL, lcs_length


@pytest.mark.parametrize(
    ("hypothesis", "reference", "expected"),
    [
        ("a b c", "a b c", 100.0),
        ("x y", "a b c", 0.0),
        ("", "a b c", 0.0),
        # LCS "a b" = 2; P = 2/2, R = 2/4; F = (1 + 1.44) * 1 * 0.5 / (0.5 + 1.44 * 1) = 1.22 / 1.94
        ("a b", "a b c d", 100 * 1.22 / 1.94),
        # the other way round P = 0.5, R = 1: recall weighs more. F = 1.22 / (1 + 1.44 * 0.5) = 1.22 / 1.72
        ("a b c d", "a b", 100 * 1.22 / 1.72),
        # order counts: LCS of "b a" and "a b" is 1; P = R = F = 1/2
        ("b a", "a b", 50.0),
        # a token in common counts as often as both have it: LCS 1; P = 1/3, R = 1
        ("a a a", "a", 100 * 2.44 / 3 / (1 + 1.44 / 3)),
        # umlauts are letters: "größere" is one token and not "grössere". LCS 1 of 2 and 2
        ("größere wärme", "grössere wärme", 50.0),
    ],
)
def test_words(hypothesis: str, reference: str, expected: float) -> None:
    assert RougeL().sentence_score(hypothesis, reference, language="de") == pytest.approx(expected)


@pytest.mark.parametrize(
    ("hypothesis", "reference", "expected"),
    [
        # 今 天 星 期 in common: 4 of 5 and 4 of 5
        ("今天星期六", "今天星期几", 80.0),
        # white space is no token
        ("今 天 星期 六", "今天星期几", 80.0),
    ],
)
def test_characters(hypothesis: str, reference: str, expected: float) -> None:
    rouge = RougeL(character_languages=("zh",))
    assert rouge.sentence_score(hypothesis, reference, language="zh") == pytest.approx(expected)


@pytest.mark.parametrize(
    ("hypothesis", "reference", "by_white_space", "by_space"),
    [
        # "a", "" and "b" against "a" and "b": LCS 2; P = 2/3, R = 1; F = 2.44 * 2/3 / (1 + 1.44 * 2/3)
        ("a  b", "a b", 100.0, 100 * 2.44 * 2 / 3 / (1 + 1.44 * 2 / 3)),
        # the empty words meet: LCS "a", "" = 2 of 3 and 3
        ("a  b", "a  c", 50.0, 100 * 2 / 3),
        # white space at the ends is none
        (" a b ", "a b", 100.0, 100.0),
        ("", "a", 0.0, 0.0),
    ],
)
def test_two_spaces_hold_an_empty_word_where_words_end_at_each_space(
    hypothesis: str, reference: str, by_white_space: float, by_space: float
) -> None:
    for rouge, expected in ((RougeL(), by_white_space), (RougeL(tokens="space"), by_space)):
        assert rouge.sentence_score(hypothesis, reference, language="zh") == pytest.approx(expected)


def test_beta_one_is_the_harmonic_mean() -> None:
    # P = 1, R = 1/2: 2 * 0.5 / 1.5
    assert RougeL(beta=1.0).sentence_score("a b", "a b c d", language="en") == pytest.approx(200 / 3)


def test_the_signature_says_what_was_counted() -> None:
    rouge = RougeL(beta=1.0, tokens="space", character_languages=("zh",))
    assert RougeL().signature("de") == "avg:sentence|beta:1.2|tok:whitespace"
    assert rouge.signature("de") == "avg:sentence|beta:1|tok:space"
    assert rouge.signature("zh") == "avg:sentence|beta:1|tok:char"


def test_lcs_length_equals_the_textbook_table() -> None:
    draw = random.Random(0)
    for _ in range(300):
        first, second = (draw.choices("abcd", k=draw.randrange(90)) for _ in range(2))
        assert lcs_length(first, second) == table_lcs_length(first, second)


def table_lcs_length(first: list[str], second: list[str]) -> int:
    row = [0] * (len(second) + 1)
    for token in first:
        above = row
        row = [0]
        for column, other in enumerate(second):
            row.append(above[column] + 1 if token == other else max(above[column + 1], row[column]))
    return row[-1]
