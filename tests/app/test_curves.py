"""Curves show every finite number of a log, and count the others."""

import math
from dataclasses import replace
from pathlib import Path

import pytest

from fla_llm.app.curves import HEIGHT, MOST_POINTS, WIDTH, draw_charts, ticks
from fla_llm.app.read_run import RunRecord


def run(rows: list[dict], *, name: str = "run", stage: int = 1) -> RunRecord:
    return RunRecord(
        folder=Path(name), name=name, stage=stage, is_finished=True, described={}, settings={}, clips={},
        read_from={}, log=rows, scores={}, predictions=None,
    )  # type: ignore[arg-type]  # fmt: skip


def places(points: str) -> list[tuple[float, float]]:
    return [(float(x), float(y)) for x, y in (pair.split(",") for pair in points.split())]


LOG = [
    {
        "step": step,
        "epoch": 1.0,
        "loss": 5.0 / step,
        "lr": {"a": 0.1, "b": 0.2},
        "grad_norm": 1.0,
        "new_key": -step,
    }
    for step in range(1, 1001)
]


def test_every_number_of_a_log_has_a_chart_within_the_drawing() -> None:
    charts = draw_charts([run(LOG)])
    assert [chart.title for chart in charts] == [
        "Training loss", "Gradient norm", "Learning rate, a", "Learning rate, b", "New key",
    ]  # fmt: skip
    for chart in charts:
        (line,) = chart.lines
        points = places(line.points)
        assert 2 < len(points) <= MOST_POINTS
        assert all(0 <= x <= WIDTH and 0 <= y <= HEIGHT for x, y in points)
        assert len(chart.y_ticks) >= 2
    assert charts[0].lines[0].first == 5.0
    assert "from 5 at step 1 to 0.005 at step 1000" in charts[0].summary


def test_a_larger_value_is_drawn_higher() -> None:
    (chart,) = draw_charts([run([{"step": 1, "loss": 1.0}, {"step": 2, "loss": 3.0}])])
    (first, second) = places(chart.lines[0].points)
    assert first[0] < second[0]
    assert first[1] > second[1]


def test_values_that_are_not_finite_are_counted() -> None:
    losses = [1.0, math.nan, 2.0, math.inf]
    (chart,) = draw_charts([run([{"step": step, "loss": loss} for step, loss in enumerate(losses)])])
    assert chart.lines[0].not_finite == 2
    assert len(places(chart.lines[0].points)) == 2


def test_runs_of_one_stage_share_charts_and_stages_do_not() -> None:
    first = run(LOG, name="a")
    charts = draw_charts([first, replace(first, name="b"), replace(first, name="c", stage=2)])
    loss = [chart for chart in charts if chart.title == "Training loss"]
    assert [[line.name for line in chart.lines] for chart in loss] == [["a", "b"], ["c"]]
    assert [line.run for line in loss[1].lines] == [2]


@pytest.mark.parametrize(("low", "high"), [(0, 1), (0, 4.87), (-3, 1e-7), (0, 0.00093), (0, 6600)])
def test_marks_are_few_and_lie_between_the_bounds(low: float, high: float) -> None:
    found = ticks(low, high)
    assert 2 <= len(found) <= 8
    assert all(low - 1e-9 <= value <= high * (1 + 1e-9) for value in found)
