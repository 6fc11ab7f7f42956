"""A trial has its own name and says what it is; no result is replaced by one of fewer clips or protocols."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from click.testing import Result

Fla = Callable[..., Result]
TRIALS = {
    ("--limit", "2"): ["limit=2"],
    ("--set", "num_beams=1"): ["num_beams=1"],
    ("--set", "length_penalty=0.5", "--set", "max_new_tokens=3"): ["max_new_tokens=3", "length_penalty=0.5"],
    ("--n-best", "3", "--diversity", "0.5"): ["num_beams=3", "diversity=0.5", "n_best=3"],
}


def scores_of(run: Path) -> dict[str, Any]:
    return json.loads((run / "scores.json").read_text())


def test_a_trial_leaves_the_result_as_it_is(run_fla: Fla, house: Path, run: Path) -> None:
    asked = ["evaluate", run, "--features", house / "cache", "--device", "cpu"]
    run_fla(*asked)
    result, sentences = scores_of(run)["test"], (run / "predictions-test.jsonl").read_bytes()
    assert (result["name"], result["trial"]) == ("test", [])
    for options, trial in TRIALS.items():
        shown = run_fla(*asked, *options).stdout
        name = "-".join(["test", *trial])
        assert f"a trial: {', '.join(trial)}" in shown
        found = scores_of(run)[name]
        assert found["trial"] == trial
        assert Path(found["predictions"]).name == f"predictions-{name}.jsonl"
        assert Path(found["predictions"]).is_file()
    assert scores_of(run)["test"] == result
    assert (run / "predictions-test.jsonl").read_bytes() == sentences
    own = result["decoding"]
    again = run_fla(*asked, "--set", f"num_beams={own['num_beams']}", "--json")  # the run's own setting
    assert json.loads(again.stdout)["name"] == "test"


def test_another_protocol_adds_rows_and_removes_none(run_fla: Fla, house: Path, run: Path) -> None:
    asked = ["evaluate", run, "--features", house / "cache", "--device", "cpu"]
    for protocols in (["gfslt"], ["sacrebleu", "gfslt"], ["sacrebleu", "spamo", "gfslt"]):
        first = protocols[0] if len(protocols) < 3 else "spamo"
        printed = json.loads(run_fla(*asked, "--protocol", first, "--json").stdout)
        assert (list(printed["protocols"]), printed["protocol"]) == ([first], first)
        kept = scores_of(run)["test"]
        assert list(kept["protocols"]) == protocols
        assert kept["protocol"] == protocols[0]
        assert {row["count"] for row in kept["protocols"].values()} == {4}


def test_a_cache_of_fewer_clips_does_not_take_the_place_of_a_whole_one(
    run_fla: Fla, house: Path, run: Path, tmp_path: Path
) -> None:
    run_fla("evaluate", run, "--features", house / "cache")
    result, sentences = scores_of(run)["test"], (run / "predictions-test.jsonl").read_bytes()
    part = tmp_path / "part"
    run_fla(
        "extract", "--ckpt", house / "stage1", "--manifest", house / "manifest.jsonl", "--out", part,
        "--limit", "2", "--split", "test", "--set", "workers=0",
    )  # fmt: skip
    run_fla("evaluate", run, "--features", part)
    assert scores_of(run)["test"] == result
    assert scores_of(run)["test-clips=2"]["count"] == 2
    assert (run / "predictions-test.jsonl").read_bytes() == sentences
    (run / "scores.json").unlink()
    (run / "predictions-test-clips=2.jsonl").rename(run / "predictions-test.jsonl")
    run_fla("evaluate", run, "--features", house / "cache")  # a fuller result may take the name
    assert scores_of(run)["test"]["count"] == 4


def test_clips_of_another_corpus_have_a_name_of_their_own(run_fla: Fla, house: Path, run: Path) -> None:
    clips = json.loads((run / "clips.json").read_text())
    clips["train"]["corpora"] = ["a/b", "demo"]
    (run / "clips.json").write_text(json.dumps(clips))
    printed = run_fla("evaluate", run, "--features", house / "cache", "--shuffle-features", "--json").stdout
    assert json.loads(printed)["name"] == "test-shuffled-corpus=demo"


@pytest.mark.parametrize("has_result", [True, False])
def test_a_card_shows_results_or_says_that_they_are_trials(
    has_result: bool, run_fla: Fla, house: Path, run: Path, tmp_path: Path
) -> None:
    asked = ["evaluate", run, "--features", house / "cache", "--device", "cpu"]
    run_fla(*asked, "--limit", "2")
    if has_result:
        run_fla(*asked)
    run_fla("export", run, "--out", tmp_path / "out")
    card = (tmp_path / "out" / "README.md").read_text()
    assert ("| test | 4 clips |" in card) == has_result
    assert ("| test-limit=2 | 2 of 4 clips, a trial: limit=2 |" in card) != has_result
    assert ("Trials alone" in card) != has_result


def test_stage_one_keeps_trials_apart_too(run_fla: Fla, house: Path) -> None:
    asked = ["evaluate", house / "stage1", "--manifest", house / "manifest.jsonl", "--split", "dev"]
    run_fla(*asked)
    result = scores_of(house / "stage1")["dev"]
    run_fla(*asked, "--limit", "1", "--set", "num_beams=1")
    scores = scores_of(house / "stage1")
    assert scores["dev"] == result
    assert (scores["dev-limit=1-num_beams=1"]["count"], scores["dev-limit=1-num_beams=1"]["clips"]) == (1, 2)
