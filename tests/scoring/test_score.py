"""BLEU, chrF and ROUGE-L of a corpus: by hand first, then against sacrebleu, then its laws and refusals."""

import math
import random

import pytest
from sacrebleu.metrics.bleu import BLEU
from sacrebleu.metrics.chrf import CHRF

from fla_llm.core.errors import ConfigError, DataError
from fla_llm.scoring import score

GERMAN = [
    ("am tag wird es kühler", "am tag wird es deutlich kühler"),
    ("schöne größere wärme , 12,5 grad !", "schöne grössere wärme , 12,5 grad !"),
    ("regen im norden", "im süden regen ."),
    ("", "und nun die wettervorhersage für morgen ."),
]
CHINESE = [
    ("今天星期六。", "今天星期几？"),
    ("我想吃面条。", "今天我想吃面条。"),
    ("他今年5岁", "他今年四岁。"),
]


def columns(pairs: list[tuple[str, str]]) -> tuple[list[str], list[str]]:
    hypotheses, references = zip(*pairs, strict=True)
    return list(hypotheses), list(references)


@pytest.mark.parametrize(
    ("hypothesis", "reference", "bleus"),
    [
        ("a b c d", "a b c d", (100, 100, 100, 100)),
        ("x y z w", "a b c d", (0, 0, 0, 0)),
        # Matched n-grams: 5 of 6 (the, cat, on, the, mat), 3 of 5 (the cat, on the, the mat), 1 of 4
        # (on the mat), 0 of 3, which sacrebleu's smoothing takes for 1 / (2 * 3). As long as the reference,
        # so no penalty. BLEU-2 = (5/6 * 3/5)^(1/2) = 0.5^(1/2); BLEU-3 = (0.5 * 1/4)^(1/3) = 0.5;
        # BLEU-4 = (0.125 * 1/6)^(1/4).
        (
            "the cat sat on the mat",
            "the cat is on the mat",
            (100 * 5 / 6, 100 * math.sqrt(0.5), 50, 100 * (1 / 48) ** 0.25),
        ),
        # All of it right but half as long: penalty e^(1 - 4/2). It has no 3-gram, so BLEU-3 is 0.
        ("a b", "a b c d", (100 * math.exp(-1), 100 * math.exp(-1), 0, 0)),
        # An umlaut is no variant of its spelling without: 1 of 2 words, no 2-gram of 1, smoothed to 1/2:
        # BLEU-2 = (1/2 * 1/2)^(1/2).
        ("größere wärme", "grössere wärme", (50, 50, 0, 0)),
        # Neither is a capital letter: raw text.
        ("Regen", "regen", (0, 0, 0, 0)),
    ],
)
def test_bleu_by_hand(hypothesis: str, reference: str, bleus: tuple[float, ...]) -> None:
    scores = score([hypothesis], [reference], language="de")
    assert (scores.bleu1, scores.bleu2, scores.bleu3, scores.bleu4) == pytest.approx(bleus)


def test_bleu_is_of_the_corpus_not_the_mean_of_sentences() -> None:
    # 4 words of 4 and 0 of 1: together 4 of 5. The mean would be 50.
    assert score(["a b c d", "x"], ["a b c d", "e"]).bleu1 == pytest.approx(80)


def test_rouge_is_the_mean_of_sentences() -> None:
    # 100 and 0, whatever their lengths.
    assert score(["a b c d", "x"], ["a b c d", "e"]).rouge_l == pytest.approx(50)


@pytest.mark.parametrize(
    ("hypothesis", "reference", "expected"),
    [
        ("ab", "ab", 100),
        # Single characters: a of a, b in common, 1 of 2; pairs: 0 of 1. Means P = R = (1/2 + 0) / 2.
        ("ab", "ac", 25),
        # 2 of 2 and 2 of 3 characters, 1 of 1 and 1 of 2 pairs; no 3-gram in the hypothesis, so no third
        # order. P = 1, R = (2/3 + 1/2) / 2 = 7/12; F2 = 5 P R / (4 P + R) = (35/12) / (55/12) = 7/11.
        ("ab", "abc", 100 * 7 / 11),
    ],
)
def test_chrf_by_hand(hypothesis: str, reference: str, expected: float) -> None:
    assert score([hypothesis], [reference]).chrf == pytest.approx(expected)


def test_chinese_is_counted_by_character() -> None:
    scores = score(["今天星期六"], ["今天星期几"], language="zh")
    # 今天星期 is right: 4 of 5 characters, 3 of 4 pairs, 2 of 3 triples, 1 of 2 quadruples.
    assert scores.bleu1 == pytest.approx(80)
    assert scores.bleu2 == pytest.approx(100 * (4 / 5 * 3 / 4) ** (1 / 2))
    assert scores.bleu3 == pytest.approx(100 * (4 / 5 * 3 / 4 * 2 / 3) ** (1 / 3))
    assert scores.bleu4 == pytest.approx(100 * (4 / 5 * 3 / 4 * 2 / 3 * 1 / 2) ** (1 / 4))
    assert scores.rouge_l == pytest.approx(80)


@pytest.mark.parametrize("language", ["zh", "zh-CN"])
def test_spaces_in_chinese_change_nothing(language: str) -> None:
    hypotheses, references = columns(CHINESE)
    spaced = score([" ".join(text) for text in hypotheses], references, language=language)
    plain = score(hypotheses, references, language="zh")
    assert (spaced.bleu4, spaced.rouge_l, spaced.chrf) == (plain.bleu4, plain.rouge_l, plain.chrf)


@pytest.mark.parametrize(("language", "tokenizer", "pairs"), [("de", "13a", GERMAN), ("zh", "char", CHINESE)])
def test_figures_and_signatures_are_those_of_sacrebleu(
    language: str, tokenizer: str, pairs: list[tuple[str, str]]
) -> None:
    hypotheses, references = columns(pairs)
    scores = score(hypotheses, references, language=language)
    for order, ours in enumerate((scores.bleu1, scores.bleu2, scores.bleu3, scores.bleu4), 1):
        metric = BLEU(tokenize=tokenizer, max_ngram_order=order)
        assert ours == metric.corpus_score(hypotheses, [references]).score
        assert f" BLEU|{metric.get_signature()} " in scores.signature
    chrf = CHRF()
    assert scores.chrf == chrf.corpus_score(hypotheses, [references]).score
    assert scores.signature.endswith(f" chrF2|{chrf.get_signature()}")


def test_the_order_of_pairs_changes_nothing() -> None:
    pairs = GERMAN * 5
    shuffled = random.Random(1).sample(pairs, len(pairs))
    one, other = (score(*columns(rows), language="de") for rows in (pairs, shuffled))
    assert one.rouge_l == pytest.approx(other.rouge_l)
    assert one.to_dict() | {"rouge_l": 0} == other.to_dict() | {"rouge_l": 0}


def test_empty_hypotheses_score_zero() -> None:
    scores = score(["", " "], ["a b c d", "e"])
    assert (scores.bleu1, scores.bleu4, scores.chrf, scores.rouge_l, scores.count) == (0, 0, 0, 0, 2)


def test_many_sentences_that_end_in_a_full_stop_give_no_advice(caplog: pytest.LogCaptureFixture) -> None:
    score(["es regnet ."] * 200, ["es schneit ."] * 200, language="de")
    assert not caplog.records


@pytest.mark.parametrize(
    ("hypotheses", "references", "language", "message"),
    [
        (["a"], ["a", "b"], "en", "1 hypotheses and 2 references"),
        ([], [], "en", "at least one pair"),
        (["a", "b"], ["a", " "], "en", "Reference 2 must hold text, but is ' '"),
        (["a"], ["a"], "german", "ISO 639 code such as de, en or zh, but is 'german'"),
        (["今天"], ["今天星期几"], "zho", "Name the language of the text, for instance --language zh"),
        (["今天"], ["今天星期几"], "en", "References in 'en' .* reference 1: '今天星期几'"),
    ],
)
def test_refusals(hypotheses: list[str], references: list[str], language: str, message: str) -> None:
    with pytest.raises(DataError, match=message):
        score(hypotheses, references, language=language)


def test_an_unknown_protocol_is_refused() -> None:
    with pytest.raises(ConfigError, match="but is 'sacreblue'. Did you mean 'sacrebleu'"):
        score(["a"], ["a"], protocol="sacreblue")


def test_one_foreign_name_does_not_make_a_corpus_chinese() -> None:
    assert score(["a b", "c"], ["a 北京", "c"]).count == 2


def test_an_interval_is_sacrebleus_and_shrinks_with_the_corpus() -> None:
    hypotheses, references = columns(GERMAN * 10)
    scores = score(hypotheses, references, language="de", resamples=200)
    metric = BLEU().corpus_score(hypotheses, [references], n_bootstrap=200)
    assert scores.intervals is not None
    assert scores.intervals["bleu4"] == metric._ci
    assert "bs:200|seed:12345" in scores.signature
    larger = score(hypotheses * 9, references * 9, language="de", resamples=200)
    assert larger.intervals is not None
    for name, interval in larger.intervals.items():
        assert 0 < interval < scores.intervals[name], name


def test_the_interval_of_equal_sentences_is_nothing() -> None:
    scores = score(["a b c d"] * 9, ["a b c e"] * 9, resamples=50)
    assert scores.intervals == pytest.approx({"bleu4": 0, "chrf": 0, "rouge_l": 0, "wer": 0}, abs=1e-4)


def test_figures_do_not_change_when_intervals_are_asked_for() -> None:
    plain, drawn = (score(*columns(GERMAN), language="de", resamples=resamples) for resamples in (0, 20))
    figures = ("bleu1", "bleu4", "chrf", "rouge_l")
    assert [getattr(plain, name) for name in figures] == [getattr(drawn, name) for name in figures]
    assert plain.intervals is None
