"""``fla evaluate --n-best``: scored hypotheses, of which the first is the prediction."""

import json
import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
from click.testing import Result
from sacrebleu import corpus_bleu

from fla_llm.cache.reader import FeatureCache
from fla_llm.cache.writer import ShardWriter
from fla_llm.core.config import load_config
from fla_llm.core.errors import ConfigError
from fla_llm.finetune.config import TuneConfig
from fla_llm.pretrain.config import PretrainConfig
from fla_llm.scoring.candidates import choose
from fla_llm.scoring.protocols import find_protocol
from fla_llm.training.config import DecodingConfig


def test_the_first_of_the_n_best_is_the_prediction(
    run_fla: Callable[..., Result], house: Path, tmp_path: Path
) -> None:
    run = tmp_path / "run"
    shutil.copytree(house / "stage2", run)
    asked = ["evaluate", run, "--features", house / "cache", "--device", "cpu", "--set", "num_beams=3"]
    run_fla(*asked)
    alone, rows = (
        run / "predictions-test-num_beams=3.jsonl",
        run / "predictions-test-num_beams=3-n_best=3.jsonl",
    )
    run_fla(*asked, "--n-best", "3")
    alone, rows = ([json.loads(line) for line in file.read_text().splitlines()] for file in (alone, rows))
    for row, before in zip(rows, alone, strict=True):
        found = row.pop("n_best")
        assert row == before
        assert len(found) == 3
        assert found[0]["text"] == row["prediction"]
        scores = [hypothesis["score"] for hypothesis in found]
        assert scores == sorted(scores, reverse=True)
        assert scores[0] < 0
    with pytest.raises(ConfigError, match="num_beams must be at least 4 for --n-best 4, but is 3"):
        run_fla(*asked, "--n-best", "4")


def test_diverse_beams_are_written_once_with_their_scores(
    run_fla: Callable[..., Result], house: Path, tmp_path: Path
) -> None:
    run = tmp_path / "run"
    shutil.copytree(house / "stage2", run)
    asked = ["evaluate", run, "--features", house / "cache", "--device", "cpu", "--set", "num_beams=2"]
    run_fla(*asked, "--n-best", "4", "--diversity", "2")
    name = "test-num_beams=4-diversity=2-n_best=4"
    for line in (run / f"predictions-{name}.jsonl").read_text().splitlines():
        row = json.loads(line)
        texts, scores = ([found[key] for found in row["n_best"]] for key in ("text", "score"))
        assert texts[0] == row["prediction"]
        assert len(texts) == len(set(texts))
        assert scores == sorted(scores, reverse=True)
    decoding = json.loads((run / "scores.json").read_text())[name]["decoding"]
    assert (decoding["diversity"], decoding["num_beams"]) == (2, 4)  # each beam is a hypothesis


def test_drawn_candidates_are_those_of_their_seed_and_the_choice_is_scored(
    run_fla: Callable[..., Result], house: Path, tmp_path: Path
) -> None:
    run = tmp_path / "run"
    shutil.copytree(house / "stage2", run)
    asked = ["evaluate", run, "--features", house / "cache", "--device", "cpu", "--temperature", "2"]
    asked += ["--n-best", "4"]
    found = {}
    for name, options in {
        "": [], "-choose=mbr": ["--choose", "mbr"], "-draw=1": ["--seed", "1"],
    }.items():  # fmt: skip
        shown = run_fla(*asked, *options).stdout
        file = run / f"predictions-test-temperature=2-n_best=4{name}.jsonl"
        found[name] = [json.loads(line) for line in file.read_text().splitlines()]
        scores = json.loads((run / "scores.json").read_text())[file.stem.removeprefix("predictions-")]
        assert f"oracle_bleu4 {scores['candidates']['oracle_bleu4']:.2f}" in shown
        assert scores["candidates"]["oracle_bleu4"] >= scores["bleu4"] - 1e-9
        assert scores["candidates"]["candidates"] == 4
    drawn = {name: [row["n_best"] for row in rows] for name, rows in found.items()}
    assert drawn[""] == drawn["-choose=mbr"] != drawn["-draw=1"]
    for row in found["-choose=mbr"]:
        texts = [candidate["text"] for candidate in row["n_best"]]
        assert (
            row["prediction"]
            == texts[choose(texts, how="mbr", language="en", protocol=find_protocol("sacrebleu"))]
        )
    with pytest.raises(ConfigError, match="at least 2, but there is 1.\nAdd --n-best"):
        run_fla(*asked[:-2], "--choose", "mbr")


def test_a_run_does_not_draw_its_dev_sentences() -> None:
    with pytest.raises(ConfigError, match="'decoding.temperature' must be 0 in a run, but is 1"):
        load_config(TuneConfig, overrides=["decoding.temperature=1"])


def test_stage_one_has_neither(run_fla: Callable[..., Result], house: Path) -> None:
    for option in (("--n-best", "2"), ("--diversity", "2"), ("--temperature", "2"), ("--choose", "mbr")):
        refused = run_fla("evaluate", house / "stage1", "--manifest", "m", *option, exit_code=2)
        assert "--temperature, --choose and --llm go with --features" in refused.output
    asked = ["evaluate", house / "stage1", "--manifest", house / "manifest.jsonl"]
    with pytest.raises(ConfigError, match=r"decoding.diversity must be 0 in stage one, but is 0.5"):
        run_fla(*asked, "--set", "diversity=0.5", "--device", "cpu")
    for name in ("diversity", "temperature"):
        with pytest.raises(ConfigError, match=rf"decoding.{name} must be 0 in stage one, but is 0.5"):
            PretrainConfig(decoding=DecodingConfig(**{name: 0.5}))


def test_several_references_of_a_cache_are_scored_apart(
    run_fla: Callable[..., Result], house: Path, run: Path, tmp_path: Path
) -> None:
    asked = ["evaluate", run, "--device", "cpu", "--json", "--features"]
    before = json.loads(run_fla(*asked, house / "cache").stdout)
    said = [json.loads(line) for line in (run / "predictions-test.jsonl").read_text().splitlines()]
    cache = FeatureCache(house / "cache", "test")
    rows = [
        replace(row, references=(f"{one['prediction']} or so it goes",))
        for row, one in zip(cache.rows, said, strict=True)
    ]
    writer = ShardWriter(tmp_path / "cache", split="test", index=0, count=1, rows=rows,
                         provenance=cache.provenance)  # fmt: skip
    with writer:
        for number, row in enumerate(rows):
            writer.append(row, cache[number])
        writer.finish()
    found = json.loads(run_fla(*asked, tmp_path / "cache").stdout)
    multi = found["protocols"]["sacrebleu"].pop("multi_reference")
    assert (
        multi
        == json.loads((run / "scores.json").read_text())["test"]["protocols"]["sacrebleu"]["multi_reference"]
    )
    assert multi["references_per_clip"] == 2
    references = [[row.text for row in rows], [row.references[0] for row in rows]]
    expected = corpus_bleu([one["prediction"] for one in said], references)
    assert multi["multi_reference_bleu4"] == pytest.approx(expected.score)
    assert found == before
