"""Segments of a long clip: nothing that moves is lost, every segment has frames, and pauses divide."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from fla_llm.core.errors import ConfigError, DataError
from fla_llm.video import Clip, FrameSampling, read_frames
from fla_llm.video.motion import measure_motion
from fla_llm.video.segments import MARGIN_SECONDS, Motion, SegmentConfig, Span, find_segments

FPS = 25
PAUSES = SegmentConfig(method="pauses")
WINDOWS = SegmentConfig(method="windows", longest_seconds=4, overlap_seconds=1)


def motion(*parts: tuple[float, bool], noise: float = 0.05) -> Motion:
    """A clip of parts: seconds, and whether the hands move."""
    rng = np.random.default_rng(0)
    moving = np.concatenate([np.full(round(seconds * FPS), moves) for seconds, moves in parts])
    energies = np.where(moving, rng.uniform(0.5, 1.0, len(moving)), rng.uniform(0, noise, len(moving)))
    times = np.arange(len(moving)) / FPS
    return Motion(times=times.tolist(), end_seconds=len(moving) / FPS, energies=energies.tolist())


def close(found: list[Span], expected: list[Span]) -> bool:
    return len(found) == len(expected) and np.allclose(found, expected, atol=2 / FPS)


def test_pauses_divide_and_keep_a_margin() -> None:
    clip = motion((2, False), (3, True), (1, False), (4, True), (0.5, False), (2, True), (3, False))
    margin = MARGIN_SECONDS
    # The averaged rest of 0.5 s is shorter than a pause.
    expected = [(2 - margin, 5 + margin), (6 - margin, 12.5 + margin)]
    assert close(find_segments(clip, PAUSES), expected)
    shorter = find_segments(clip, replace(PAUSES, pause_seconds=0.1))
    assert len(shorter) == 3
    assert shorter[1][1] <= shorter[2][0] + 1e-6
    assert find_segments(clip, replace(PAUSES, pause_seconds=2)) == [(shorter[0][0], shorter[2][1])]


def test_a_cut_of_the_camera_is_no_movement() -> None:
    clip = motion((2, False), (3, True), (2, False), (3, True), (2, False))
    energies = list(clip.energies)
    for frame in (10, 6 * FPS, 11 * FPS):
        energies[frame] = 50.0
    found = find_segments(replace(clip, energies=energies), PAUSES)
    assert close(found, find_segments(clip, PAUSES))


def test_a_long_part_is_cut_at_its_quietest_frame() -> None:
    clip = motion((1, False), (14, True), (0.24, False), (10, True), (1, False))
    found = find_segments(clip, PAUSES)
    assert len(found) == 2
    assert 15 <= found[0][1] <= 15.3
    many = find_segments(clip, replace(PAUSES, longest_seconds=3))
    assert all(end - start <= 3 + 1e-9 for start, end in many)
    assert [end for _, end in many[:-1]] == [start for start, _ in many[1:]]
    assert (many[0][0], many[-1][1]) == (found[0][0], found[-1][1])


def test_a_clip_without_movement_is_passed_over_nowhere() -> None:
    still = motion((9, False), noise=0)
    assert find_segments(still, replace(PAUSES, longest_seconds=4)) == [(0.0, 4.0), (4.0, 8.0), (8.0, 9.0)]
    one = Motion(times=[0.0], end_seconds=0.04, energies=[0.0])
    assert find_segments(one, PAUSES) == [(0.0, 0.04)]


def test_windows_overlap_and_cover_the_clip() -> None:
    clip = motion((9, True))
    assert find_segments(clip, WINDOWS) == [(0.0, 4.0), (3.0, 7.0), (6.0, 9.0)]
    assert find_segments(clip, replace(WINDOWS, overlap_seconds=0)) == [(0.0, 4.0), (4.0, 8.0), (8.0, 9.0)]
    assert find_segments(clip, replace(WINDOWS, longest_seconds=9)) == [(0.0, 9.0)]


def test_a_clock_that_jumps_gives_no_empty_window() -> None:
    year = 3e7
    clip = Motion(times=[0.0, 1.0, year, year + 1], end_seconds=year + 2)
    found = find_segments(clip, WINDOWS)
    assert found == [(0.0, 4.0), (year, year + 2)]


@pytest.mark.parametrize(
    ("wrong", "words"),
    [
        ({"longest_seconds": 0.5}, "longest_seconds must be at least 1 s, but is 0.5 s"),
        ({"overlap_seconds": -1.0}, "overlap_seconds must be at least 0 s, but is -1 s"),
        ({"pause_seconds": float("nan")}, "pause_seconds must be at least 0.05 s, but is nan s"),
        (
            {"method": "windows", "overlap_seconds": 20.0},
            "overlap_seconds must be below longest_seconds .20 s., but is 20 s",
        ),
    ],
)
def test_lengths_out_of_range_are_refused(wrong: dict[str, Any], words: str) -> None:
    with pytest.raises(ConfigError, match=words):
        SegmentConfig(**wrong)


def test_movement_is_measured_in_a_video(write_video: Callable[..., Path]) -> None:
    rng = np.random.default_rng(0)
    moving = [
        np.kron(rng.integers(0, 255, (4, 6, 3)), np.ones((8, 8, 1))).astype(np.uint8) for _ in range(40)
    ]
    still = [moving[-1]] * 20
    path = write_video(frames=[*still, *moving, *still])
    found = measure_motion(Clip(path=path))
    assert len(found.times) == len(found.energies) == 80
    assert min(found.energies[22:59]) > 4 * max(found.energies[1:19])
    [(start, end)] = find_segments(found, PAUSES)
    assert start < found.times[20] < found.times[59] < end
    # A segment is a clip like any other.
    cut = read_frames(
        Clip(path=path, start_seconds=start, end_seconds=end), sampling=FrameSampling(stride=1), size=32
    )
    whole = read_frames(Clip(path=path), sampling=FrameSampling(stride=1), size=32)
    first = sum(time < start for time in found.times)
    np.testing.assert_array_equal(cut, whole[first : first + len(cut)])


def test_a_damaged_video_is_measured_up_to_its_fault(write_video: Callable[..., Path]) -> None:
    path = write_video("clip.mkv")
    path.write_bytes(path.read_bytes()[: path.stat().st_size * 2 // 3])
    whole = pytest.raises(DataError, measure_motion, Clip(path=path))
    assert "damaged" in str(whole.value)
    assert len(measure_motion(Clip(path=path), keep_partial=True).times) > 0
