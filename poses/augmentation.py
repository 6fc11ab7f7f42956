"""Augmentation of normalised key points: rotation, scale, noise, lost hands, lost frames, mirroring."""

import math
from dataclasses import dataclass

import numpy as np

from ..core.errors import ConfigError
from .layouts import NUM_POINTS, SLICES

# Places of the mirrored points: left and right change, the jaw and the lips run the other way.
_MIRRORED_BODY = (0, 2, 1, 4, 3, 6, 5, 8, 7)
_MIRRORED_FACE = (*range(8, -1, -1), 13, 12, 11, 10, 9, 16, 15, 14, 17)


@dataclass(frozen=True, kw_only=True)
class PoseAugmentConfig:
    """Limits of the augmentation of key points in training. All are drawn once per clip or once per frame."""

    rotate_degrees: float = 8.0
    """Largest rotation of a clip in degrees, to either side."""
    scale: float = 0.1
    """Largest change of size: 0.1 gives sizes from 0.9 to 1.1."""
    noise: float = 0.01
    """Standard deviation of the noise of each point, in units of half the body's box."""
    lost_hands: float = 0.1
    """Share of the frames in which a hand is lost, drawn for each hand."""
    lost_frames: float = 0.1
    """Share of the frames that are left out."""
    mirror: float = 0.0
    """Share of mirrored clips. Signs of one hand keep their meaning, directions in space may not."""

    def __post_init__(self) -> None:
        for name in ("lost_hands", "lost_frames", "mirror", "scale"):
            if not 0 <= getattr(self, name) <= 1:
                raise ConfigError(f"{name} must lie in 0..1, but is {getattr(self, name)}.")
        for name in ("rotate_degrees", "noise"):
            if getattr(self, name) < 0:
                raise ConfigError(f"{name} must be 0 or more, but is {getattr(self, name)}.")


def augment_poses(poses: np.ndarray, *, config: PoseAugmentConfig, seed: int) -> np.ndarray:
    """Return augmented key points: (T, 69, 3) -> (T', 69, 3), T' between 1 and T.

    Missing points stay missing.

    Args:
        poses: normalised key points with scores.
        config: limits.
        seed: equal seeds give equal draws.
    """
    rng = np.random.default_rng(seed)
    angle = math.radians(rng.uniform(-1, 1) * config.rotate_degrees)
    size = 1 + rng.uniform(-1, 1) * config.scale
    is_mirrored = rng.random() < config.mirror
    kept = rng.random(len(poses)) >= config.lost_frames
    # A clip without any frame could not be encoded.
    if not kept.any():
        kept[rng.integers(len(kept))] = True
    found = (mirror(poses) if is_mirrored else poses)[kept]
    # Each part turns around its own root, which is what a rotation of the whole picture does to it.
    turn = size * np.asarray([[math.cos(angle), -math.sin(angle)], [math.sin(angle), math.cos(angle)]])
    points = found[..., :2] @ turn.T + rng.normal(0, config.noise, (*found.shape[:2], 2))
    found = np.concatenate([points, found[..., 2:]], axis=-1).astype(np.float32)
    for hand in ("left", "right"):
        found[rng.random(len(found)) < config.lost_hands, SLICES[hand]] = 0
    # Rotation and noise must not give a missing point a place.
    found[found[..., 2] == 0] = 0
    return found


def mirror(poses: np.ndarray) -> np.ndarray:
    """Return key points as in a mirror: (T, 69, 3) -> (T, 69, 3)."""
    places = np.arange(NUM_POINTS)
    order = np.concatenate([
        places[SLICES["body"]][list(_MIRRORED_BODY)],
        places[SLICES["right"]],
        places[SLICES["left"]],
        places[SLICES["face"]][list(_MIRRORED_FACE)],
    ])  # fmt: skip
    return poses[:, order] * np.asarray([-1, 1, 1], poses.dtype)
