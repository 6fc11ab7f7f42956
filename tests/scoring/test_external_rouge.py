"""ROUGE-L of other packages, with the arithmetic written out, and what is said where they are missing."""

import random

import pytest

from fla_llm.scoring import external_rouge, score
from fla_llm.scoring.external_rouge import GoogleRouge, NoRouge, PipRouge


@pytest.mark.parametrize(
    ("hypothesis", "reference", "stemmed", "expected"),
    [
        # beta 1: LCS "a b" = 2; P = 2/2, R = 2/4; F = 2 * 1/2 / (3/2)
        ("aa bb", "aa bb cc dd", False, 200 / 3),
        # an umlaut cuts a word: "gr", "ere" against "gr", "ere", "w", "rme"
        ("größere", "größere wärme", False, 200 / 3),
        # case and punctuation go
        ("Rain.", "rain", False, 100.0),
        # endings go only with the stemmer: "raining" and "rains" are "rain"
        ("raining", "rains", False, 0.0),
        ("raining", "rains", True, 100.0),
        ("", "rain", True, 0.0),
    ],
)
def test_rouge_score(hypothesis: str, reference: str, stemmed: bool, expected: float) -> None:
    pytest.importorskip("rouge_score", reason="the extra fla-llm[rouge] is not installed")
    rouge = GoogleRouge(stemmed=stemmed)
    assert rouge.sentence_score(hypothesis, reference, language="de") == pytest.approx(expected)


def test_figures_are_those_of_the_package_itself() -> None:
    scorer = pytest.importorskip("rouge_score.rouge_scorer", reason="fla-llm[rouge] is not installed")
    words = ["raining", "rains", "größer", "Winds", "the", "generously", "12.5", "flies", "schneefälle"]
    draw = random.Random(0)
    for stemmed in (False, True):
        theirs = scorer.RougeScorer(["rougeL"], use_stemmer=stemmed)
        for _ in range(50):
            pair = [" ".join(draw.choices(words, k=draw.randrange(9))) for _ in range(2)]
            ours = GoogleRouge(stemmed=stemmed).sentence_score(*pair, language="en")
            assert ours == 100 * theirs.score(pair[1], pair[0])["rougeL"].fmeasure


@pytest.mark.parametrize(
    ("hypothesis", "reference", "expected"),
    [
        ("a b", "a b c d", 200 / 3),
        # words count once: {a} against {a}
        ("a a a", "a", 100.0),
        # a full stop ends a sentence and is no word
        ("a . b", "a b", 100.0),
        ("", "a", 0.0),
        (" . ", "a", 0.0),
        ("a", ".", 0.0),
    ],
)
def test_rouge(hypothesis: str, reference: str, expected: float) -> None:
    pytest.importorskip("rouge", reason="the extra fla-llm[rouge] is not installed")
    found = PipRouge().sentence_score(hypothesis, reference, language="en")
    assert found == pytest.approx(expected, abs=1e-5)  # the package adds 1e-8 to a denominator


def test_google_has_nothing_to_say_of_chinese() -> None:
    assert "keeps a-z and 0-9 alone" in (GoogleRouge(stemmed=True).undefined("zh") or "")


def test_a_missing_package_is_named_with_its_remedy(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(external_rouge, "find_spec", lambda _: None)
    scores = score(["rain"], ["rain"], protocol="ssvp")
    assert scores.rouge_l is None
    assert scores.rouge_reason == "needs the package rouge_score: pip install 'fla-llm[rouge]'"
    assert "ROUGE-L|none" in scores.signature
    assert "needs the package rouge:" in (PipRouge().undefined("zh") or "")


def test_no_rouge_may_not_be_asked_for() -> None:
    with pytest.raises(NotImplementedError, match="none is reported"):
        NoRouge(reason="none is reported").sentence_score("a", "a", language="en")
