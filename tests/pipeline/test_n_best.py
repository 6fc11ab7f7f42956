"""``fla evaluate --n-best``: scored hypotheses, of which the first is the prediction."""

import json
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest
from click.testing import Result

from fla_llm.core.errors import ConfigError


def test_the_first_of_the_n_best_is_the_prediction(
    run_fla: Callable[..., Result], house: Path, tmp_path: Path
) -> None:
    run = tmp_path / "run"
    shutil.copytree(house / "stage2", run)
    asked = ["evaluate", run, "--features", house / "cache", "--device", "cpu", "--set", "num_beams=3"]
    run_fla(*asked)
    file = run / "predictions-test.jsonl"
    alone = [json.loads(line) for line in file.read_text().splitlines()]
    run_fla(*asked, "--n-best", "3")
    rows = [json.loads(line) for line in file.read_text().splitlines()]
    for row, before in zip(rows, alone, strict=True):
        found = row.pop("n_best")
        assert row == before
        assert len(found) == 3
        assert found[0]["text"] == row["prediction"]
        scores = [hypothesis["score"] for hypothesis in found]
        assert scores == sorted(scores, reverse=True)
        assert scores[0] < 0
    for beams, count in ((3, 4), (1, 1)):
        expected = f"num_beams must be at least {max(2, count)} for --n-best {count}, but is {beams}"
        with pytest.raises(ConfigError, match=expected):
            run_fla(*asked, "--n-best", str(count), "--set", f"num_beams={beams}")
    refused = run_fla("evaluate", run, "--manifest", "m", "--n-best", "2", exit_code=2)
    assert "--n-best goes with --features" in refused.output
