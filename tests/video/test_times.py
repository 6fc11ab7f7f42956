"""Frames chosen by time: what is read of files as phones and cutting tools make them."""

from pathlib import Path

import numpy as np
import pytest

from fla_llm.core.errors import DataError
from fla_llm.video import (
    Clip,
    FrameSampling,
    choose_frames,
    count_selected,
    decode_all,
    read_frames,
    read_timeline,
)

from .conftest import copy_packets

UNEVEN_MS = [0, 40, 80, 120, 500, 540, 580, 1000, 1010, 1020, 1400]
"""A phone's clock in changing light: 25 frames a second, then few, then many."""


@pytest.mark.parametrize("name", ["a.mp4", "a.mkv", "a.avi", "a.ts", "a.mov"])
@pytest.mark.parametrize("phase", [0, 2])
def test_constant_rate_by_time_is_stride(write_video, name: str, phase: int) -> None:
    """Also where times are rounded to milliseconds, as 1/30 s is in Matroska."""
    clip = Clip(path=write_video(name, num_frames=40, fps=30, codec_options={"g": "6", "bf": "2"}))
    by_stride = FrameSampling(stride=3, max_frames=9)
    by_time = FrameSampling(stride=3, max_frames=9, fps=10)
    np.testing.assert_array_equal(
        read_frames(clip, sampling=by_time, phase=phase, size=8),
        read_frames(clip, sampling=by_stride, phase=phase, size=8),
    )


@pytest.mark.parametrize("name", ["a.mp4", "a.mkv"])
@pytest.mark.parametrize("offset_ms", [0, 700])
def test_variable_rate_is_sampled_by_its_clock(write_video, indices_of, name: str, offset_ms: int) -> None:
    """Every 200 ms from the first frame, which may be shown later than the file begins."""
    times = [offset_ms + time for time in UNEVEN_MS]
    clip = Clip(path=write_video(name, codec_options={"bf": "0"}, times_ms=times))
    frames = read_frames(clip, sampling=FrameSampling(fps=5), size=8)
    assert indices_of(frames)[:8] == [0, 3, 3, 6, 6, 7, 9, 10]


def test_frames_are_those_of_the_timeline(write_video) -> None:
    clip = Clip(path=write_video(codec_options={"bf": "2"}, times_ms=UNEVEN_MS))
    timeline, sampling = read_timeline(clip), FrameSampling(fps=7, max_frames=6)
    chosen = choose_frames(timeline, sampling=sampling, phase=3)
    assert timeline.times == pytest.approx([time / 1000 for time in UNEVEN_MS])
    np.testing.assert_array_equal(
        read_frames(clip, sampling=sampling, phase=3, size=8), decode_all(clip, size=8)[chosen]
    )


@pytest.mark.parametrize("name", ["a.mp4", "a.mkv", "a.ts"])
@pytest.mark.parametrize("start", [0.4, 1.25])
def test_cut_counts_from_its_own_first_frame(write_video, indices_of, name: str, start: float) -> None:
    clip = Clip(path=write_video(name, num_frames=30), start_seconds=start, end_seconds=start + 1)
    frames = read_frames(clip, sampling=FrameSampling(fps=5), size=8)
    first = int(np.ceil(start * 10))
    assert indices_of(frames) == list(range(first, first + 10, 2))


def test_stream_that_begins_amid_others_keeps_its_clock(write_video, tmp_path: Path, indices_of) -> None:
    """Its first packets give no picture, so that times come from decoding."""
    source = write_video("whole.mkv", num_frames=40, codec_options={"g": "12", "bf": "2"})
    clip = Clip(path=copy_packets(source, tmp_path / "part.mkv", begin=7))
    first = indices_of(decode_all(clip, size=8))[0]
    assert first > 7
    frames = read_frames(clip, sampling=FrameSampling(fps=5), size=8)
    assert indices_of(frames) == list(range(first, 40, 2))


def test_planned_number_is_the_number_read(write_video) -> None:
    clip = Clip(path=write_video("a.mkv", num_frames=29, fps=30))
    for fps, phase in [(7.5, 0), (7.5, 3), (11, 1), (60, 2)]:
        sampling = FrameSampling(fps=fps, max_frames=40)
        planned = count_selected(29, sampling=sampling, phase=phase, clip_fps=30)
        assert planned == len(read_frames(clip, sampling=sampling, phase=phase, size=8))


@pytest.mark.parametrize("kind", ["folder", "bare stream"])
def test_clip_without_times_needs_its_rate(
    write_video, picture_folder: Path, tmp_path: Path, indices_of, kind: str
) -> None:
    path = picture_folder
    if kind == "bare stream":
        path = copy_packets(write_video(num_frames=12), tmp_path / "bare.h264")
    sampling = FrameSampling(fps=5, stride=2)
    with pytest.raises(
        DataError, match="must carry times, or come with its frame rate, for 5 frames a second"
    ):
        read_frames(Clip(path=path), sampling=sampling, size=8)
    frames = read_frames(Clip(path=path, fps=25), sampling=sampling, phase=1, size=8)
    assert indices_of(frames) == [2, 7]


def test_rate_above_a_folders_repeats_its_pictures(picture_folder: Path, indices_of) -> None:
    frames = read_frames(Clip(path=picture_folder, fps=10), sampling=FrameSampling(fps=25), size=8)
    assert indices_of(frames)[:6] == [0, 0, 0, 1, 1, 2]
    assert len(frames) == 30


@pytest.mark.parametrize("fps", [0, -1.0, float("nan"), float("inf")])
def test_impossible_rate_of_a_clip_is_refused(fps: float) -> None:
    with pytest.raises(DataError, match=f"a.mp4: fps must be a number above 0, but is {fps}"):
        Clip(path=Path("a.mp4"), fps=fps)
