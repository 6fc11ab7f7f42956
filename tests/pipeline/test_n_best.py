"""``fla evaluate --n-best``: scored hypotheses, of which the first is the prediction."""

import json
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest
from click.testing import Result

from fla_llm.core.errors import ConfigError
from fla_llm.pretrain.config import PretrainConfig
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


def test_stage_one_has_neither(run_fla: Callable[..., Result], house: Path) -> None:
    for option in ("--n-best", "--diversity"):
        refused = run_fla("evaluate", house / "stage1", "--manifest", "m", option, "2", exit_code=2)
        assert "--n-best, --diversity and --llm go with --features" in refused.output
    asked = ["evaluate", house / "stage1", "--manifest", house / "manifest.jsonl"]
    with pytest.raises(ConfigError, match=r"decoding.diversity must be 0 in stage one, but is 0.5"):
        run_fla(*asked, "--set", "diversity=0.5", "--device", "cpu")
    with pytest.raises(ConfigError, match=r"decoding.diversity must be 0 in stage one, but is 0.5"):
        PretrainConfig(decoding=DecodingConfig(diversity=0.5))
