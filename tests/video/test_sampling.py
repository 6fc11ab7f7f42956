import random

import pytest

from fla_llm.core.errors import ConfigError
from fla_llm.video.sampling import FrameSampling, count_selected, select_at_times, select_frames


@pytest.mark.parametrize(
    ("num_frames", "stride", "max_frames", "phase", "expected"),
    [
        (8, 4, 300, 0, [0, 4]),
        (9, 4, 300, 0, [0, 4, 8]),
        (9, 4, 300, 3, [3, 7]),
        (1, 4, 300, 3, [0]),
        (3, 4, 300, 3, [2]),
        (8, 1, 4, 0, [1, 3, 5, 7]),
        (20, 2, 5, 1, [3, 7, 11, 15, 19]),
        (5, 1, 1, 0, [2]),
    ],
)
def test_selection(num_frames: int, stride: int, max_frames: int, phase: int, expected: list[int]) -> None:
    sampling = FrameSampling(stride=stride, max_frames=max_frames)
    assert select_frames(num_frames, sampling=sampling, phase=phase) == expected


def test_indices_increase_and_lie_inside() -> None:
    for num_frames in range(1, 60):
        for stride in (1, 3, 4):
            for phase in range(stride):
                sampling = FrameSampling(stride=stride, max_frames=7)
                indices = select_frames(num_frames, sampling=sampling, phase=phase)
                assert 1 <= len(indices) <= 7
                assert indices == sorted(set(indices))
                assert indices[0] >= 0
                assert indices[-1] < num_frames


def test_all_phases_are_drawn_from_unless_named() -> None:
    assert FrameSampling(stride=3).phases == (0, 1, 2)
    assert FrameSampling(stride=3, train_phases=(0,)).phases == (0,)


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"stride": 0}, "stride must be at least 1, but is 0"),
        ({"max_frames": 0}, "max_frames must be at least 1, but is 0"),
        ({"stride": 2, "train_phases": (2,)}, r"train_phases must lie in 0..1, but hold 2"),
        ({"train_phases": ()}, "train_phases must name a phase, but is empty"),
        ({"fps": 0.0}, "fps must be a number above 0, but is 0.0"),
        ({"fps": float("nan")}, "fps must be a number above 0, but is nan"),
        ({"fps": float("inf")}, "fps must be a number above 0, but is inf"),
    ],
)
def test_wrong_settings_are_refused(settings: dict, message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        FrameSampling(**settings)


@pytest.mark.parametrize(("num_frames", "phase"), [(0, 0), (5, 4), (5, -1)])
def test_wrong_calls_are_refused(num_frames: int, phase: int) -> None:
    with pytest.raises(ValueError, match="must"):
        select_frames(num_frames, sampling=FrameSampling(stride=4), phase=phase)


RATES = [10.0, 23.976, 25.0, 30000 / 1001, 60.0]


@pytest.mark.parametrize("rate", RATES)
@pytest.mark.parametrize("stride", [1, 3, 4])
def test_rate_over_stride_is_stride(rate: float, stride: int) -> None:
    """Also with times rounded to milliseconds, and with a bound."""
    for num_frames in (1, 2, 3, 7, 40, 997):
        for phase in range(stride):
            by_stride = FrameSampling(stride=stride, max_frames=90)
            by_time = FrameSampling(stride=stride, max_frames=90, fps=rate / stride)
            expected = select_frames(num_frames, sampling=by_stride, phase=phase)
            chosen = select_frames(num_frames, sampling=by_time, phase=phase, clip_fps=rate)
            times = [5 + round(index / rate, 3) for index in range(num_frames)]
            end = times[-1] + round(1 / rate, 3)
            assert chosen == expected
            assert select_at_times(times, end_seconds=end, sampling=by_time, phase=phase) == expected


def uneven_times(seed: int, num_frames: int) -> list[float]:
    draw = random.Random(seed)
    times = [draw.uniform(0, 9)]
    while len(times) < num_frames:
        times.append(times[-1] + draw.choice([0.0, 0.01, 0.04, 0.3]))
    return times


@pytest.mark.parametrize("seed", range(20))
@pytest.mark.parametrize("fps", [0.7, 12.5, 200.0])
def test_frame_taken_is_the_one_shown_then(seed: int, fps: float) -> None:
    times = uneven_times(seed, 30)
    end, phase = times[-1] + 0.04, seed % 4
    sampling = FrameSampling(fps=fps, max_frames=10**6)
    indices = select_at_times(times, end_seconds=end, sampling=sampling, phase=phase)
    moments = [times[0] + (k + phase / 4) / fps for k in range(len(indices))]
    if moments[0] < end:  # else the clip's last frame, by itself
        assert moments[-1] < end <= moments[-1] + 1 / fps + 0.003
    for moment, index in zip(moments, indices, strict=True):
        assert times[index] <= moment + 0.003
        assert index + 1 == len(times) or moment < times[index + 1]


@pytest.mark.parametrize("seed", range(10))
def test_times_give_indices_that_never_decrease_and_are_bounded(seed: int) -> None:
    times = uneven_times(seed, 50)
    for fps in (0.1, 3.0, 25.0, 1000.0):
        every = FrameSampling(fps=fps, max_frames=10**6)
        few = FrameSampling(fps=fps, max_frames=7)
        end = times[-1] + 0.1
        indices = select_at_times(times, end_seconds=end, sampling=few)
        whole = select_at_times(times, end_seconds=end, sampling=every)
        assert len(indices) == min(7, len(whole))
        assert indices == sorted(indices)
        assert set(indices) <= set(whole)


def test_time_that_jumps_far_takes_no_time() -> None:
    """As the clock of a damaged file may: only the moments that are kept are looked for."""
    chosen = select_at_times([0.0, 1e12], end_seconds=1e12 + 1, sampling=FrameSampling(fps=30, max_frames=3))
    assert chosen == [0, 0, 0]


def test_rate_above_the_clips_repeats_frames() -> None:
    assert select_frames(3, sampling=FrameSampling(fps=30), clip_fps=12) == [0, 0, 0, 1, 1, 2, 2, 2]


def test_clips_of_any_rate_give_as_many_steps_a_second() -> None:
    sampling = FrameSampling(fps=12.5)
    for rate in RATES:
        assert len(select_frames(round(8 * rate), sampling=sampling, clip_fps=rate)) in (100, 101)


@pytest.mark.parametrize("fps", [None, 0.3, 7.5, 60.0])
def test_number_planned_is_the_number_selected(fps: float | None) -> None:
    sampling = FrameSampling(stride=4, max_frames=50, fps=fps)
    for num_frames in (1, 2, 5, 99, 1000):
        for phase in range(4):
            chosen = select_frames(num_frames, sampling=sampling, phase=phase, clip_fps=25)
            assert count_selected(num_frames, sampling=sampling, phase=phase, clip_fps=25) == len(chosen)


@pytest.mark.parametrize("function", [select_frames, count_selected])
def test_rate_without_the_clips_is_refused(function) -> None:
    with pytest.raises(ConfigError, match="must be known to look at 5 frames a second, but is not"):
        function(10, sampling=FrameSampling(fps=5))


def test_no_times_are_refused() -> None:
    with pytest.raises(ValueError, match="num_frames must be at least 1, but is 0"):
        select_at_times([], end_seconds=1.0, sampling=FrameSampling(fps=5))
