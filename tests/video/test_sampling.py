import pytest

from fla_llm.core.errors import ConfigError
from fla_llm.video.sampling import FrameSampling, select_frames


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
    ],
)
def test_wrong_settings_are_refused(settings: dict, message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        FrameSampling(**settings)


@pytest.mark.parametrize(("num_frames", "phase"), [(0, 0), (5, 4), (5, -1)])
def test_wrong_calls_are_refused(num_frames: int, phase: int) -> None:
    with pytest.raises(ValueError, match="must"):
        select_frames(num_frames, sampling=FrameSampling(stride=4), phase=phase)
