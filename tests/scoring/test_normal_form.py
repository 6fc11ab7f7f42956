"""Sides in different Unicode normal forms score low for no fault of the model: that is said."""

from unicodedata import normalize

import pytest

from fla_llm.scoring import PROTOCOLS, score
from fla_llm.scoring.normal_form import differing_forms
from fla_llm.scoring.scorecard import Systems, describe_rows, score_systems

SENTENCES = {
    "de": ["im süden wird es kühler", "über köln regnet es", "es bleibt kühl"],
    "ko": ["내일 비가 온다", "바람이 분다", "오늘은 맑다"],
}


@pytest.mark.parametrize("language", SENTENCES)
@pytest.mark.parametrize(("hypotheses", "references"), [("NFC", "NFD"), ("NFD", "NFC")])
def test_sides_of_two_forms_are_noted(language: str, hypotheses: str, references: str) -> None:
    said, wanted = ([normalize(form, s) for s in SENTENCES[language]] for form in (hypotheses, references))
    found = score(said, wanted, language=language)
    assert found.bleu4 < 90
    outside = {side: 3 * (form == "NFD") for side, form in (("h", hypotheses), ("r", references))}
    assert found.unicode_note is not None
    assert f"{outside['h']} of 3 hypotheses and {outside['r']} of 3 references" in found.unicode_note
    assert found.to_dict()["unicode_note"] == found.unicode_note


@pytest.mark.parametrize("language", SENTENCES)
@pytest.mark.parametrize("form", ["NFC", "NFD"])
def test_sides_of_one_form_are_not_noted(language: str, form: str) -> None:
    sentences = [normalize(form, sentence) for sentence in SENTENCES[language]]
    found = score(sentences, sentences, language=language)
    assert found.unicode_note is None
    assert "unicode_note" not in found.to_dict()
    assert differing_forms(["sonne", ""], sentences) is None  # plain letters are in both forms


def test_one_sentence_in_the_other_form_is_enough() -> None:
    sentences = SENTENCES["de"]
    assert differing_forms([*sentences[:2], normalize("NFD", sentences[2])], sentences) is not None


def test_all_protocols_share_one_note_in_the_table() -> None:
    sentences = SENTENCES["de"]
    systems = Systems(own=[("h", [normalize("NFD", sentence) for sentence in sentences])])
    rows = score_systems(systems, sentences, language="de", protocols=list(PROTOCOLS))
    shown = describe_rows(rows)
    assert shown.count("Unicode is not normalised by") == 1
    scored = [row.protocol for row in rows if row.refused is None]
    assert f"normalised by {', '.join(scored)}: 3 of 3 hypotheses" in shown
    two = Systems(own=[("a.txt", sentences), ("b.txt", systems.own[0][1])])
    (row,) = score_systems(two, sentences, language="de", protocols=["sacrebleu"], resamples=20)
    assert "sacrebleu: b.txt: 3 of 3" in describe_rows([row])
