"""Each limit of the augmentation changes what it names, and nothing else."""

import numpy as np
import pytest

from fla_llm.core.errors import ConfigError
from fla_llm.poses.augmentation import PoseAugmentConfig, augment_poses, mirror
from fla_llm.poses.clip import make_clip
from fla_llm.poses.layouts import SLICES
from fla_llm.poses.normalise import normalise

from .conftest import Arrays

OFF = dict.fromkeys(("rotate_degrees", "scale", "noise", "lost_hands", "lost_frames", "mirror"), 0.0)


@pytest.fixture
def poses(wholebody: Arrays) -> np.ndarray:
    points, scores = (np.repeat(values, 20, axis=0) for values in wholebody)
    scores[3, 95] = 0
    return normalise(make_clip(points, scores, origin="clip"), method="uni-sign", threshold=0.3)


def augmented(poses: np.ndarray, **limits: float) -> np.ndarray:
    return augment_poses(poses, config=PoseAugmentConfig(**{**OFF, **limits}), seed=1)


def test_without_limits_nothing_changes(poses: np.ndarray) -> None:
    np.testing.assert_allclose(augmented(poses), poses, atol=1e-6)


def test_rotation_and_scale_keep_shapes(poses: np.ndarray) -> None:
    turned, grown = augmented(poses, rotate_degrees=30.0), augmented(poses, scale=0.5)
    lengths, after = (np.linalg.norm(found[..., :2], axis=-1) for found in (poses, turned))
    assert not np.allclose(turned, poses)
    np.testing.assert_allclose(after, lengths, atol=1e-5)
    seen = poses[..., 0] != 0
    ratio = grown[..., 0][seen] / poses[..., 0][seen]
    assert ratio.std() < 1e-3
    assert abs(ratio.mean() - 1) > 0.01


def test_shares_of_lost_hands_and_frames(poses: np.ndarray) -> None:
    lost = augmented(poses, lost_hands=0.3)
    gone = ~lost[:, SLICES["left"]].any((1, 2)), ~lost[:, SLICES["right"]].any((1, 2))
    assert all(0.15 < hand.mean() < 0.45 for hand in gone)
    assert (gone[0] != gone[1]).any()
    assert lost[:, SLICES["body"]].any((1, 2)).all()
    assert 50 < len(augmented(poses, lost_frames=0.3)) < 90
    assert len(augmented(poses, lost_frames=1.0)) == 1


def test_missing_points_stay_missing(poses: np.ndarray) -> None:
    found = augmented(poses, noise=0.1, rotate_degrees=20.0, scale=0.2)
    assert not found[3, SLICES["left"]][4].any()
    assert np.abs(found[..., :2] - poses[..., :2]).max() > 0.05
    np.testing.assert_array_equal(found[..., 2], poses[..., 2])


def test_a_mirrored_mirror_is_the_pose(poses: np.ndarray) -> None:
    np.testing.assert_array_equal(mirror(mirror(poses)), poses)
    flipped = mirror(poses)
    np.testing.assert_array_equal(flipped[:, SLICES["left"], 1:], poses[:, SLICES["right"], 1:])
    np.testing.assert_array_equal(augmented(poses, mirror=1.0), augmented(mirror(poses)))


def test_equal_seeds_give_equal_draws(poses: np.ndarray) -> None:
    config = PoseAugmentConfig()
    first, again = (augment_poses(poses, config=config, seed=5) for _ in range(2))
    np.testing.assert_array_equal(first, again)
    assert not np.array_equal(first, augment_poses(poses, config=config, seed=6))


@pytest.mark.parametrize("name", ["lost_hands", "lost_frames", "mirror", "scale", "noise", "rotate_degrees"])
def test_limits_out_of_range_are_refused(name: str) -> None:
    with pytest.raises(ConfigError, match=name):
        PoseAugmentConfig(**{name: -0.5})
