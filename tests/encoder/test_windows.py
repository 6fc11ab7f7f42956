import pytest
import torch

from fla_llm.core.errors import ConfigError
from fla_llm.encoder.windows import Windows


@pytest.mark.parametrize(("frames", "stride"), [(1, 1), (4, 1), (4, 3), (4, 4), (5, 2)])
def test_every_frame_is_in_a_window_and_no_window_could_be_spared(frames: int, stride: int) -> None:
    windows = Windows(frames=frames, stride=stride)
    for num_frames in range(1, 30):
        clip, count = torch.arange(num_frames), windows.count(num_frames)
        rows = clip[windows.rows(0, count, num_frames=num_frames)]
        assert len(rows) == count * frames
        assert set(rows.tolist()) == set(range(num_frames))
        before = clip[windows.rows(0, count - 1, num_frames=num_frames)]
        assert count == 1 or set(before.tolist()) != set(range(num_frames))


def test_windows_cut_in_two_goes_are_those_cut_in_one() -> None:
    windows = Windows(frames=4, stride=3)
    parts = [windows.rows(0, 2, num_frames=12), windows.rows(2, 2, num_frames=12)]
    assert torch.equal(torch.cat(parts), windows.rows(0, 4, num_frames=12))


def test_a_clip_that_is_too_short_repeats_its_last_frame() -> None:
    assert Windows(frames=4, stride=2).rows(0, 1, num_frames=2).tolist() == [0, 1, 1, 1]


@pytest.mark.parametrize("stride", [0, 5])
def test_strides_that_pass_over_frames_are_refused(stride: int) -> None:
    with pytest.raises(ConfigError, match=f"window_stride must lie in 1..4, but is {stride}"):
        Windows(frames=4, stride=stride)


def test_a_batch_that_holds_no_window_is_refused() -> None:
    assert Windows(frames=4, stride=4).per_batch(11) == 2
    with pytest.raises(
        ConfigError, match="frame_batch must be at least 4, the frames of one window, but is 3"
    ):
        Windows(frames=4, stride=4).per_batch(3)
