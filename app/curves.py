"""Curves of the numbers in ``log.jsonl``, as points of SVG drawings: one chart for each number."""

import math
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from statistics import fmean
from typing import Any

from ..training.tracking import flat_row
from .read_run import RunRecord

Points = list[tuple[int, float]]
"""Steps and values of a number in the log."""
Place = Callable[[float, float], tuple[float, float]]
"""Map from a step and a value to a place in the drawing."""
WIDTH, HEIGHT = 320, 176
"""Size of a drawing, in the units of its view box."""
LEFT, RIGHT, TOP, BOTTOM = 42, 10, 10, 24
"""Margins of a drawing, for the labels of the axes."""
MOST_POINTS = 240
"""Points of a line. A longer log is averaged, so that the page stays small."""
MOST_MARKS = 40
"""Points of a line that has a dot at each point."""
TITLES = {
    "loss": "Training loss",
    "dev/bleu4": "Dev BLEU-4",
    "dev/chrf": "Dev chrF",
    "dev/rouge_l": "Dev ROUGE-L",
    "dev/wer": "Dev WER",
    "grad_norm": "Gradient norm",
}
"""Titles of the first charts, in order. Other numbers follow under their own names."""
GROUPS = {"lr": "learning rate", "grad_norms": "gradient norm", "update_norms": "update norm", "speed": ""}
"""Words for groups of numbers. The names of speeds need none."""
NOT_DRAWN = {"step", "epoch", "seconds", "dev/bleu1", "dev/bleu2", "dev/bleu3"}


@dataclass(frozen=True, kw_only=True)
class Line:
    """Curve of one run."""

    run: int
    """Number of the run on the page, from 0, which decides the colour."""
    name: str
    points: str
    """Value of the attribute ``points`` of an SVG polyline."""
    marks: list[tuple[float, float]]
    """Places of dots, for lines of few points."""
    first: float
    last: float
    lowest: float
    highest: float
    steps: tuple[int, int]
    """First and last step."""
    mean_of: int
    """Number of logged values in a point."""
    not_finite: int
    """Number of logged values that are NaN or infinite, which are not drawn."""


@dataclass(frozen=True, kw_only=True)
class Chart:
    """Curves of one number, for runs of one stage."""

    title: str
    stage: int
    lines: list[Line]
    x_ticks: list[tuple[float, str]]
    """Place and label of the marks of the axis of steps."""
    y_ticks: list[tuple[float, str]]

    @property
    def summary(self) -> str:
        """Text in place of the drawing, for readers who cannot see the drawing."""
        return f"{self.title}. " + " ".join(
            f"{line.name}: from {line.first:.3g} at step {line.steps[0]} to {line.last:.3g} at step "
            f"{line.steps[1]}, lowest {line.lowest:.3g}, highest {line.highest:.3g}."
            for line in self.lines
        )


def draw_charts(runs: Sequence[RunRecord]) -> list[Chart]:
    """Return a chart for each number that changes during training, stage one first."""
    charts: list[Chart] = []
    for stage in (1, 2):
        series = {
            number: _series(run.log) for number, run in enumerate(runs) if run.stage == stage and run.log
        }
        known = dict.fromkeys(key for found in series.values() for key in found)
        for key in sorted(known, key=_rank):
            own = {number: found[key] for number, found in series.items() if key in found}
            if chart := _draw(key, own, names=[run.name for run in runs], stage=stage):
                charts.append(chart)
    return charts


def ticks(low: float, high: float, *, count: int = 4) -> list[float]:
    """Return round numbers between two bounds, about ``count`` of them.

    >>> ticks(0.0, 100.0)
    [0.0, 20.0, 40.0, 60.0, 80.0, 100.0]
    """
    step = tick_step(low, high, count=count)
    # The bounds themselves are marks, also where a quotient is 2.9999999999999996.
    first, last = math.ceil(low / step - 1e-9), math.floor(high / step + 1e-9)
    return [float(f"{number * step:.12g}") for number in range(first, last + 1)]


def tick_step(low: float, high: float, *, count: int = 4) -> float:
    """Return 1, 2 or 5 times a power of ten, for about ``count`` marks between two different bounds."""
    size = 10.0 ** math.floor(math.log10((high - low) / count))
    return next(factor * size for factor in (1, 2, 5, 10) if factor * size * (count + 1) >= high - low)


def _rank(key: str) -> tuple[int, str]:
    order = list(TITLES)
    return (order.index(key) if key in order else len(order), key)


def _series(rows: Iterable[dict[str, Any]]) -> dict[str, Points]:
    """Return the steps and values of each number of a log."""
    found: dict[str, Points] = {}
    for row in rows:
        for key, value in flat_row(row).items():
            if key not in NOT_DRAWN and not isinstance(value, bool):
                found.setdefault(key, []).append((int(row["step"]), float(value)))
    # A number that was logged once, such as the share of padding, has no curve.
    return {key: values for key, values in found.items() if len(values) > 1 or key in TITLES}


def _draw(key: str, series: dict[int, Points], *, names: Sequence[str], stage: int) -> Chart | None:
    finite = {number: _finite(points) for number, points in series.items() if _finite(points)}
    if not finite:
        return None
    steps = [step for points in finite.values() for step, _ in points]
    values = [value for points in finite.values() for _, value in points]
    last_step = max(*steps, 1)
    y_low, y_high = _bounds(min(values), max(values))
    place_x = _scale(0, last_step, LEFT, WIDTH - RIGHT)
    place_y = _scale(y_low, y_high, HEIGHT - BOTTOM, TOP)
    return Chart(
        title=TITLES.get(key) or _title(key),
        stage=stage,
        lines=[
            _line(
                points, run=number, name=names[number], place=lambda x, y: (place_x(x), place_y(y)),
                not_finite=len(series[number]) - len(points),
            )
            for number, points in finite.items()
        ],
        x_ticks=[(place_x(x), f"{x:g}") for x in ticks(0, last_step, count=3) if x == int(x)],
        y_ticks=[(place_y(y), f"{y:g}") for y in ticks(y_low, y_high)],
    )  # fmt: skip


def _line(points: Points, *, run: int, name: str, place: Place, not_finite: int) -> Line:
    # Ceiling division: at most MOST_POINTS groups.
    size = -(-len(points) // MOST_POINTS)
    groups = [points[start : start + size] for start in range(0, len(points), size)]
    # Means keep the course of a noisy curve, where every n-th value would not.
    places = [place(fmean(x for x, _ in group), fmean(y for _, y in group)) for group in groups]
    values = [value for _, value in points]
    return Line(
        run=run,
        name=name,
        points=" ".join(f"{x:.1f},{y:.1f}" for x, y in places),
        marks=places if len(places) <= MOST_MARKS else [],
        first=values[0],
        last=values[-1],
        lowest=min(values),
        highest=max(values),
        steps=(points[0][0], points[-1][0]),
        mean_of=size,
        not_finite=not_finite,
    )


def _finite(points: Points) -> Points:
    return [point for point in points if math.isfinite(point[1])]


def _title(key: str) -> str:
    """Return the name of a number of the log in words.

    >>> _title("lr/backbone"), _title("speed/frames_per_second"), _title("new_key")
    ('Learning rate, backbone', 'Frames per second', 'New key')
    """
    group, _, name = key.partition("/")
    words = [GROUPS.get(group, group), name] if name else [GROUPS.get(key, key)]
    text = ", ".join(filter(None, words)).replace("_", " ").replace("/", ", ")
    return text[:1].upper() + text[1:]


def _bounds(low: float, high: float) -> tuple[float, float]:
    """Return the ends of the axis of values, which holds 0: part of an axis makes noise look large."""
    low, high = min(low, 0.0), max(high, 0.0)
    if low == high:
        return 0.0, 1.0
    step = tick_step(low, high)
    # The axis ends at marks, so that no curve runs beyond the last mark.
    return math.floor(low / step) * step, math.ceil(high / step) * step


def _scale(low: float, high: float, start: float, end: float) -> Callable[[float], float]:
    """Return the linear map of low..high to start..end."""
    return lambda value: start + (value - low) / (high - low) * (end - start)
