"""Measured figures beside expected ones."""

import json
from pathlib import Path
from typing import Any

import pytest

from fla_llm.core.errors import DataError
from fla_llm.scoring.expected import compare_with_expected, describe_compared, read_expected
from fla_llm.scoring.scorecard import ProtocolScores, Systems, score_systems


def scored(*protocols: str) -> list[ProtocolScores]:
    """One system, one word of four wrong: BLEU-1 is 75, and ROUGE-L with 3 of 4 and 4 is 75."""
    own = [("hyps", ["a b c x"])]
    return score_systems(Systems(own=own), ["a b c d"], language="en", protocols=protocols)


def written(path: Path, content: Any) -> Path:
    path.write_text(json.dumps(content))
    return path


@pytest.mark.parametrize(("figure", "is_same"), [(75, True), (75.009, True), (74.98, False), (0, False)])
def test_two_printed_decimals_decide(tmp_path: Path, figure: float, is_same: bool) -> None:
    expected = read_expected(written(tmp_path / "e.json", {"sacrebleu": {"bleu1": figure}}))
    assert [row.is_same for row in compare_with_expected(scored("sacrebleu"), expected)] == [is_same]


def test_figures_alone_are_the_default_protocols(tmp_path: Path) -> None:
    expected = read_expected(written(tmp_path / "e.json", {"bleu1": 75, "rouge_l": 70.5, "note": "table 2"}))
    assert expected == {"sacrebleu": {"bleu1": 75, "rouge_l": 70.5}}
    shown = describe_compared(compare_with_expected(scored("sacrebleu"), expected)).splitlines()
    assert shown[0].split() == ["expected", "found", "difference"]
    assert shown[2].split() == ["sacrebleu", "rouge_l", "70.50", "75.00", "+4.50"]


def test_what_fla_score_prints_can_be_compared_with(tmp_path: Path) -> None:
    rows = scored("signjoey", "beyond-bleu")
    path = written(tmp_path / "e.json", {row.protocol: row.to_dict() for row in rows})
    compared = compare_with_expected(rows, read_expected(path))
    assert len(compared) == 15  # beyond-bleu has no ROUGE-L
    assert all(row.is_same for row in compared)


def test_a_figure_that_is_not_there_is_no_match(tmp_path: Path) -> None:
    expected = read_expected(written(tmp_path / "e.json", {"beyond-bleu": {"rouge_l": 40}}))
    compared = compare_with_expected(scored("beyond-bleu"), expected)
    assert not compared[0].is_same
    assert describe_compared(compared).split()[-2:] == ["-", "-"]


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ({}, "must hold figures such as"),
        ({"gfslt": {}}, "has none of bleu1"),
        ([1], "must hold figures such as"),
        ({"bleu4": "21"}, "bleu4 must be a number from 0 to 100, but is '21'"),
        ({"bleu4": float("nan")}, "bleu4 must be a number from 0 to 100, but is nan"),
        ({"gfslt": {"bleu4": True}}, "bleu4 must be a number from 0 to 100, but is True"),
    ],
)
def test_a_file_without_figures_is_refused(tmp_path: Path, content: Any, message: str) -> None:
    with pytest.raises(DataError, match=message):
        read_expected(written(tmp_path / "e.json", content))


def test_an_expected_protocol_must_have_been_scored() -> None:
    with pytest.raises(DataError, match=r"(?s)under gfslt, but scored was sacrebleu.*Add: --protocol gfslt"):
        compare_with_expected(scored("sacrebleu"), {"gfslt": {"bleu4": 1.0}})
