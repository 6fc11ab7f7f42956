"""A run in 4 bits says the same when it is asked again, and is asked in the batches that it records."""

import json
import shutil
from collections.abc import Callable
from pathlib import Path

from click.testing import Result


def test_an_evaluation_in_four_bits_is_repeated_to_the_byte(
    run_fla: Callable[..., Result], house: Path, tmp_path: Path
) -> None:
    run = tmp_path / "run"
    shutil.copytree(house / "stage2", run)
    described = json.loads((run / "run.json").read_text())
    assert described["quantise"] == "nf4"
    asked = ["evaluate", run, "--features", house / "cache", "--device", "cpu"]
    run_fla(*asked, "--split", "dev")
    said_when_tuned = (house / "stage2" / "predictions-dev.jsonl").read_bytes()
    assert (run / "predictions-dev.jsonl").read_bytes() == said_when_tuned
    seen = []
    for _ in range(2):
        run_fla(*asked, "--n-best", "2")
        seen.append((run / "predictions-test-n_best=2.jsonl").read_bytes())
    assert seen[0] == seen[1]


def test_the_batches_are_those_that_the_run_records(
    run_fla: Callable[..., Result], house: Path, tmp_path: Path
) -> None:
    run = tmp_path / "run"
    shutil.copytree(house / "stage2", run)
    described = json.loads((run / "run.json").read_text())
    recorded = described.pop("evaluation_batches")
    assert recorded == {"max_clips": 4, "max_tokens": 160}
    asked = ["evaluate", run, "--features", house / "cache", "--device", "cpu"]
    other = {"max_clips": 1, "max_tokens": 90}
    for kept, used in (({"evaluation_batches": other}, other), ({}, recorded)):
        (run / "run.json").write_text(json.dumps(described | kept))
        run_fla(*asked)
        assert json.loads((run / "scores.json").read_text())["test"]["evaluation_batches"] == used
