"""Multi-reference BLEU: sacrebleu's figure, under a name of its own."""

import pytest
from sacrebleu.metrics.bleu import BLEU

from fla_llm.scoring.multi_reference import score_multi_reference
from fla_llm.scoring.score import score
from fla_llm.scoring.scorecard import Systems, describe_rows, score_systems

HYPOTHESES = ["an apple is eaten by the boy", "the girl sees a dog today"]
REFERENCES = ["the boy eats an apple", "today the girl sees a dog"]
FURTHER = [["an apple is eaten by the boy"], ["the girl sees a dog today", "a dog is seen by the girl today"]]
RULES = {"language": "en", "protocol": "sacrebleu"}


def test_it_is_the_figure_of_sacrebleu_over_ragged_references() -> None:
    found = score_multi_reference(HYPOTHESES, REFERENCES, [FURTHER[0], []], **RULES)
    bleu = BLEU()
    columns = [REFERENCES, [FURTHER[0][0], None]]
    assert found.multi_reference_bleu4 == bleu.corpus_score(HYPOTHESES, columns).score
    assert found.references_per_clip == 1.5
    assert "nrefs:var" in found.signature


def test_a_paraphrase_scores_as_high_as_the_first_reference() -> None:
    assert score(HYPOTHESES, REFERENCES).bleu4 < 60
    found = score_multi_reference(HYPOTHESES, REFERENCES, FURTHER, **RULES)
    assert found.multi_reference_bleu4 == pytest.approx(100)


def test_repeated_references_change_nothing() -> None:
    again = [[text, text] for text in REFERENCES]
    found = score_multi_reference(HYPOTHESES, REFERENCES, again, **RULES)
    assert found.multi_reference_bleu4 == pytest.approx(score(HYPOTHESES, REFERENCES).bleu4)


def test_steps_of_the_protocol_reach_further_references() -> None:
    found = score_multi_reference(
        ["regen im norden heute"], ["x ."], [["regen im norden heute ."]], language="de", protocol="gfslt"
    )
    assert found.multi_reference_bleu4 == pytest.approx(100)


def test_the_single_reference_figure_stays_what_it_is() -> None:
    systems = Systems(own=[("a", HYPOTHESES), ("b", REFERENCES)])
    plain = score_systems(systems, REFERENCES, language="en", protocols=["sacrebleu"])
    several = score_systems(systems, REFERENCES, language="en", protocols=["sacrebleu"], further=FURTHER)
    content, before = several[0].to_dict(), plain[0].to_dict()
    for one, old in ((content, before), (content["second"], before["second"])):
        assert "multi_reference" not in old
        multi = one.pop("multi_reference")
        assert multi["multi_reference_bleu4"] > one["bleu4"] or one["bleu4"] == pytest.approx(100)
    assert content == before
    shown = describe_rows(several)
    assert "sacrebleu, a: multi-reference BLEU-4 100.00 against 2.50 references a clip" in shown
    assert "nrefs:var" in shown
    assert "multi-reference" not in describe_rows(plain)
