import math
from dataclasses import replace

import pytest
import torch

from fla_llm.core.errors import ConfigError
from fla_llm.video.augmentation import AugmentConfig
from fla_llm.video.transforms import augment, centre_crop, normalise

STILL = AugmentConfig(rotate_degrees=0, scale=0, translate=0, brightness=0, contrast=0, probability=1)


def clip(num_frames: int = 4, side: int = 24) -> torch.Tensor:
    return torch.randint(0, 256, (num_frames, 3, side, side), generator=source(1)).to(torch.uint8)


def source(seed: int) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def ramp(side: int) -> torch.Tensor:
    """A clip of one frame whose value tells the column: 4 a pixel, for every colour."""
    return (4 * torch.arange(side)).expand(1, 3, side, side).to(torch.uint8)


def test_normalised_pixels_are_those_of_the_formula_and_the_frames_stay() -> None:
    frames, mean, std = clip(), torch.rand(3, 1, 1), torch.rand(3, 1, 1) + 0.1
    for given in (frames, frames.float()):
        before = given.clone()
        assert torch.equal(normalise(given, mean=mean, std=std), (frames.float() / 255 - mean) / std)
        assert torch.equal(given, before)


def test_centre_crop_takes_the_middle() -> None:
    frames = clip(side=24)
    assert torch.equal(centre_crop(frames, size=16), frames[..., 4:20, 4:20])


def test_augmentation_without_change_is_a_crop_of_the_clip() -> None:
    frames = clip(side=24)
    cropped = augment(frames, size=16, config=STILL, generator=source(0))
    windows = frames.unfold(2, 16, 1).unfold(3, 16, 1)  # (T, 3, 9, 9, 16, 16)
    assert any(torch.equal(cropped, windows[:, :, top, left]) for top in range(9) for left in range(9))


def test_probability_zero_only_crops() -> None:
    frames = clip(side=16)
    assert torch.equal(
        augment(frames, size=16, config=AugmentConfig(probability=0), generator=source(0)), frames
    )


def test_one_draw_for_the_whole_clip() -> None:
    frames = clip(num_frames=1).expand(5, -1, -1, -1)
    moved = augment(frames, size=16, config=AugmentConfig(probability=1), generator=source(3))
    assert moved.dtype == torch.uint8
    assert all(torch.equal(frame, moved[0]) for frame in moved)


def test_same_generator_same_clip_and_another_another() -> None:
    config = AugmentConfig(probability=1)
    first, again, other = (augment(clip(), size=16, config=config, generator=source(s)) for s in (5, 5, 6))
    assert torch.equal(first, again)
    assert not torch.equal(first, other)


def test_chance_is_used_up_alike_whatever_is_drawn() -> None:
    generators = [source(2), source(2)]
    for generator, probability in zip(generators, (0.0, 1.0), strict=True):
        augment(clip(), size=16, config=AugmentConfig(probability=probability), generator=generator)
    assert torch.equal(generators[0].get_state(), generators[1].get_state())


def test_signs_are_never_mirrored() -> None:
    config = AugmentConfig(rotate_degrees=20, brightness=0, contrast=0, probability=1)
    for seed in range(20):
        columns = augment(ramp(40), size=32, config=config, generator=source(seed))[0, 0].float().mean(0)
        assert columns[-8:].mean() > columns[:8].mean()


def turning(degrees: float, *, seed: int) -> AugmentConfig:
    """Return settings under which this seed's generator turns a clip by exactly ``degrees``."""
    draw = torch.rand(10, generator=source(seed))[3].item()  # in 0..1, mapped to -bound..bound
    return replace(STILL, rotate_degrees=degrees / (2 * draw - 1))


@pytest.mark.parametrize(("degrees", "seed"), [(90, 5), (-90, 3)])
@pytest.mark.parametrize("width", [24, 40])
def test_quarter_turn_is_a_quarter_turn_of_the_window(degrees: int, seed: int, width: int) -> None:
    """Positive angles turn against the clock, also where the frames are wider than the window."""
    frames = torch.randint(0, 256, (2, 3, 24, width), generator=source(9)).to(torch.uint8)
    left = int(torch.rand(10, generator=source(seed))[1].item() * (width - 24 + 1))
    turned = augment(frames, size=24, config=turning(degrees, seed=seed), generator=source(seed))
    expected = torch.rot90(frames[..., left : left + 24], degrees // 90, dims=(2, 3))
    assert (turned.int() - expected.int()).abs().max() <= 1


def test_known_angle_turns_a_point_by_that_angle() -> None:
    frames = torch.zeros(1, 3, 65, 65, dtype=torch.uint8)
    frames[..., 31:34, 51:54] = 255  # 20 pixels right of the middle
    turned = augment(frames, size=65, config=turning(30, seed=5), generator=source(5))[0, 0].float()
    y, x = torch.meshgrid(torch.arange(65.0), torch.arange(65.0), indexing="ij")
    place = [(turned * axis).sum() / turned.sum() - 32 for axis in (x, y)]
    expected = [20 * math.cos(math.radians(30)), -20 * math.sin(math.radians(30))]  # up is a smaller row
    assert torch.tensor(place) == pytest.approx(expected, abs=0.2)


def test_translation_keeps_its_bound() -> None:
    config = AugmentConfig(rotate_degrees=0, scale=0, translate=0.1, brightness=0, contrast=0, probability=1)
    shifts = [
        int(augment(ramp(40), size=40, config=config, generator=source(seed))[0, 0, 20, 20]) / 4 - 20
        for seed in range(30)
    ]
    assert max(map(abs, shifts)) <= 4.01
    assert max(shifts) > 2
    assert min(shifts) < -2


def test_light_changes_the_mean_within_its_bound() -> None:
    frames = torch.full((2, 3, 8, 8), 100, dtype=torch.uint8)
    config = AugmentConfig(
        rotate_degrees=0, scale=0, translate=0, brightness=0.2, contrast=0.5, probability=1
    )
    means = [
        augment(frames, size=8, config=config, generator=source(s)).float().mean().item() for s in range(30)
    ]
    assert 80 <= min(means) < 90
    assert 110 < max(means) <= 120


@pytest.mark.parametrize("function", [centre_crop, augment])
def test_frames_smaller_than_the_crop_are_refused(function) -> None:
    options = {"config": STILL, "generator": source(0)} if function is augment else {}
    with pytest.raises(ValueError, match="frames must measure 32 x 32 or more, but are 24 x 24"):
        function(clip(), size=32, **options)


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"rotate_degrees": -1}, r"rotate_degrees must lie in 0..180, but is -1"),
        ({"probability": 1.5}, r"probability must lie in 0..1, but is 1.5"),
        ({"scale": 1.0}, r"scale must lie in 0..1, but is 1.0"),
        ({"translate": float("nan")}, r"translate must lie in 0..1, but is nan"),
    ],
)
def test_wrong_settings_are_refused(settings: dict, message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        AugmentConfig(**settings)
