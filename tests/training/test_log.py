"""Rows of log.jsonl: norms of each part, and the speed of the training."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from fla_llm.training.pace import Pace

from .conftest import log_rows

Toy = Callable[..., Any]
PLAIN: dict[str, Any] = {
    "optimiser": "sgd", "schedule": "constant", "warmup_share": 0.0, "weight_decay": 0.0,
    "log_every_steps": 1,
}  # fmt: skip


@pytest.mark.parametrize("limit", [0.0, 0.01, 1e6])
def test_the_norms_of_the_parts_make_the_norm_of_the_whole(toy: Toy, tmp_path: Path, limit: float) -> None:
    """Before clipping, whatever clipping does."""
    toy(tmp_path, epochs=1, max_grad_norm=limit, **PLAIN)
    rows = log_rows(tmp_path)
    assert len(rows) == 5
    for row in rows:
        assert row["grad_norms"].keys() == row["update_norms"].keys() == {"inner", "outer"}
        whole = sum(norm**2 for norm in row["grad_norms"].values()) ** 0.5
        assert whole == pytest.approx(row["grad_norm"], rel=1e-4)


def test_the_first_update_of_plain_descent_is_the_rate_times_the_gradient(toy: Toy, tmp_path: Path) -> None:
    toy(tmp_path, epochs=1, learning_rate=0.1, max_grad_norm=0.0, **PLAIN)
    first = log_rows(tmp_path)[0]
    for name, rate in (("inner", 0.05), ("outer", 0.1)):  # the toy's inner part learns at half the rate
        assert first["update_norms"][name] == pytest.approx(rate * first["grad_norms"][name], rel=1e-4)


def test_norms_are_of_the_logged_step_alone(toy: Toy, tmp_path: Path) -> None:
    """Of five steps the fourth and the last are logged."""
    logs = {every: log_rows_of(toy, tmp_path / str(every), every) for every in (1, 4)}
    assert [row["step"] for row in logs[4]] == [4, 5]
    for row in logs[4]:
        same = next(one for one in logs[1] if one["step"] == row["step"])
        assert {name: row[name] for name in ("grad_norms", "update_norms")} == {
            name: same[name] for name in ("grad_norms", "update_norms")
        }


def log_rows_of(toy: Toy, run: Path, every: int) -> list[dict[str, Any]]:
    toy(run, epochs=1, **PLAIN | {"log_every_steps": every})
    return log_rows(run)


def test_a_row_has_the_speed(toy: Toy, tmp_path: Path) -> None:
    toy(tmp_path, epochs=1, log_every_steps=5)
    (row,) = [json.loads(line) for line in (tmp_path / "log.jsonl").read_text().splitlines()]
    speed = row["speed"]
    assert speed["clips_per_second"] == pytest.approx(4 * speed["steps_per_second"])  # 20 clips in 5 steps
    assert 0 < speed["waiting_share"] < 1


def test_speed_is_work_by_time_without_pauses() -> None:
    clock = [0.0]
    pace = Pace("", clock=lambda: clock[0])
    clock[0] = 100.0  # before the first batch nothing counts
    for _ in range(2):
        with pace.waiting():
            clock[0] += 1.0
        pace.count({"clips": 6})
        clock[0] += 3.0
        with pace.paused():
            clock[0] += 50.0
    assert pace.row() == {"clips_per_second": 12 / 8, "waiting_share": 2 / 8}
    clock[0] += 1000.0  # an evaluation after the row
    with pace.waiting():
        pass
    pace.count({"clips": 1})
    clock[0] += 2.0
    assert pace.row() == {"clips_per_second": 0.5, "waiting_share": 0.0}


@pytest.mark.parametrize(("waited", "computed", "advised"), [(40.0, 20.0, 1), (40.0, 60.0, 0), (5.0, 1.0, 0)])
def test_a_training_that_waits_long_and_most_of_the_time_says_so_once(
    caplog: pytest.LogCaptureFixture, waited: float, computed: float, advised: int
) -> None:
    clock = [0.0]
    pace = Pace("Set more training.workers.", clock=lambda: clock[0])
    caplog.set_level("INFO")
    for _ in range(4):
        with pace.waiting():
            clock[0] += waited
        clock[0] += computed
        pace.row()
    expected = "The training waits for batches 67% of the time. Set more training.workers."
    assert caplog.messages == [expected] * advised
