"""Laws every protocol keeps, and what tells them apart."""

import random

import pytest

from fla_llm.core.errors import ConfigError, DataError
from fla_llm.scoring import PROTOCOLS, find_protocol, score
from fla_llm.scoring.protocols import named_protocols

WORDS = {
    "de": ["regen", "schön", "im", "Norden", "größer", "12,5", "grad", "und", "am", "tag"],
    "en": ["Rain", "it's", "so", "we", "will", "tell", "you", "about", "it", "don't"],
    "zh": list("今天我想吃面条星期几岁北京"),
}
ENDINGS = {"de": ["", " .", "."], "en": ["", ".", "?"], "zh": ["。", "？", ""]}


def sentences(language: str, *, count: int = 30) -> list[str]:
    """Sentences of four to twelve words, with and without a full stop."""
    draw = random.Random(f"sentences {language}")
    joiner = "" if language == "zh" else " "
    return [
        joiner.join(draw.choices(WORDS[language], k=draw.randint(4, 12))) + draw.choice(ENDINGS[language])
        for _ in range(count)
    ]


def cases() -> list[tuple[str, str]]:
    """Protocols and languages they score: unspaced Chinese is refused by those that cut at spaces."""
    refused = {"signjoey", "gfslt", "ssvp", "beyond-bleu"}
    return [
        (name, language)
        for name in PROTOCOLS
        for language in WORDS
        if language != "zh" or name not in refused
    ]


@pytest.mark.parametrize(("name", "language"), cases())
def test_hypotheses_equal_to_the_prepared_references_score_100(name: str, language: str) -> None:
    references = sentences(language)
    prepared = [find_protocol(name).prepare_reference(sentence, language) for sentence in references]
    scores = score(prepared, references, language=language, protocol=name)
    assert (scores.bleu1, scores.bleu2, scores.bleu3, scores.bleu4) == pytest.approx((100,) * 4, abs=1e-6)
    assert scores.chrf == pytest.approx(100, abs=1e-6)
    if scores.rouge_l is None:
        assert scores.rouge_reason
    else:
        assert scores.rouge_l == pytest.approx(100, abs=1e-6)


@pytest.mark.parametrize(("name", "language"), cases())
def test_the_order_of_pairs_changes_nothing(name: str, language: str) -> None:
    references = sentences(language)
    pairs = list(zip(random.Random(1).sample(references, len(references)), references, strict=True))
    other = random.Random(2).sample(pairs, len(pairs))
    one, two = (
        score(*map(list, zip(*rows, strict=True)), language=language, protocol=name)
        for rows in (pairs, other)
    )
    assert one.bleu4 == two.bleu4
    assert one.chrf == two.chrf
    assert one.rouge_l == pytest.approx(two.rouge_l)


@pytest.mark.parametrize(("name", "language"), cases())
def test_an_empty_hypothesis_is_legal_and_scores_0(name: str, language: str) -> None:
    scores = score(["", ""], sentences(language, count=2), language=language, protocol=name)
    assert (scores.bleu1, scores.bleu4, scores.chrf) == (0, 0, 0)
    assert scores.rouge_l in (0, None)


@pytest.mark.parametrize("name", ["signjoey", "gfslt", "ssvp"])
def test_unspaced_chinese_is_refused_under_a_tokenizer_of_words(name: str) -> None:
    with pytest.raises(DataError, match=rf"(?s)under {name}, but 30 of 30 .* reference 1: .*sacrebleu"):
        score(sentences("zh"), sentences("zh"), language="zh", protocol=name)


def test_a_language_a_protocol_does_not_score_is_refused_with_the_reason() -> None:
    with pytest.raises(DataError, match=r"beyond-bleu cannot score 'zh': the paper does not state which"):
        score(["今天"], ["今天"], language="zh", protocol="beyond-bleu")


def test_the_final_stop_alone_moves_the_score() -> None:
    hypotheses = ["am tag regen im norden .", "am tag schnee ."]
    references = ["am tag regen im süden .", "am morgen regen ."]
    # With the stop 8 of 10 words... 4 + 1 stop of 6 and 1 + 1 stop of 4; without it 4 of 5 and 1 of 3.
    with_stop = score(hypotheses, references, language="de", protocol="sltbaselines")
    without = score(hypotheses, references, language="de", protocol="gfslt")
    assert with_stop.bleu1 == pytest.approx(100 * 7 / 10)
    assert without.bleu1 == pytest.approx(100 * 5 / 8)


def test_no_smoothing_means_0_where_no_n_gram_is_right() -> None:
    assert score(["a b c x"], ["a b c d"], protocol="signjoey").bleu4 == 0
    # sacrebleu's smoothing takes 0 of 1 for 1/2: (3/4 * 2/3 * 1/2 * 1/2)^(1/4)
    assert score(["a b c x"], ["a b c d"], protocol="sacrebleu").bleu4 == pytest.approx(100 * 0.125**0.25)


def test_each_signature_is_its_own() -> None:
    references = sentences("de")
    found = {score(references, references, language="de", protocol=name).signature for name in PROTOCOLS}
    assert len(found) == len(PROTOCOLS)


def test_all_names_all_and_a_wrong_name_is_refused() -> None:
    assert named_protocols("all") == list(PROTOCOLS)
    assert named_protocols("gfslt") == ["gfslt"]
    with pytest.raises(ConfigError, match="but is 'gfsl'. Did you mean 'gfslt'"):
        named_protocols("gfsl")
