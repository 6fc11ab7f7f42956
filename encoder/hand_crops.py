"""Crops of the hands around key points, and the draw of frames by scores.

Crops follow Uni-Sign (Li et al., ICLR 2025, ``datasets.py``): a square of one size for both hands and all
frames of a clip, in the middle of the box around the points of a hand, black beyond the picture.
"""

from dataclasses import dataclass

import numpy as np
from PIL import Image

from ..core.errors import ConfigError, DataError
from ..core.seeds import derive_seed
from ..poses.clip import PoseClip
from ..poses.layouts import SLICES

HANDS = ("left", "right")
FINGER_TIPS = [4, 8, 12, 16, 20]
"""Tips of thumb, index, middle, ring and little finger among the points of a hand."""
LEAST_WEIGHT = 1e-5
"""Weight of the frame with the surest finger tips, as in Uni-Sign."""


@dataclass(frozen=True, kw_only=True)
class HandsConfig:
    """Settings of crops of the hands."""

    margin: float = 1.2
    """Side of a crop, as a multiple of the largest extent of a hand in the clip. 1.2 as in Uni-Sign."""
    threshold: float = 0.3
    """A hand whose points have this mean score or less is missing in a frame: its crop is black."""
    share: float = 1.0
    """Share of the frames in which a hand is cropped, drawn by the scores of the finger tips: unsure tips are
    likelier. The other crops are black. Uni-Sign draws 0.1."""
    source_size: int = 512
    """Side in pixels to which pictures are decoded before they are cropped."""

    def __post_init__(self) -> None:
        if not 1 <= self.margin <= 10:
            raise ConfigError(f"hands.margin must be in 1..10, but is {self.margin}.")
        # Missing points have the score 0, and must not count as seen.
        if not 0 <= self.threshold < 1:
            raise ConfigError(f"hands.threshold must be at least 0 and below 1, but is {self.threshold}.")
        if not 0 < self.share <= 1:
            raise ConfigError(f"hands.share must be above 0 and at most 1, but is {self.share}.")
        if not 32 <= self.source_size <= 2048:
            raise ConfigError(f"hands.source_size must be in 32..2048, but is {self.source_size}.")


def hand_boxes(
    clip: PoseClip, frames: list[int], *, height: int, width: int, config: HandsConfig, seed: int
) -> np.ndarray:
    """Return the corners of the crops of each frame: left, top, right and bottom, as shares of the picture.

    Args:
        clip: key points of all frames of the video.
        frames: T numbers of frames.
        height: height of the picture in pixels.
        width: width of the picture in pixels.
        config: settings.
        seed: seed of the draw.

    Returns:
        (T, 2, 4), float64, of the left and the right hand. NaN: the hand is missing, or was not drawn.
    """
    chosen = np.asarray(clip.layout.chosen)
    parts = np.stack([chosen[SLICES[hand]] for hand in HANDS])
    points = clip.points[frames][:, parts].astype(np.float64) * (width, height)
    scores = clip.scores[frames][:, parts]
    seen = scores.mean(axis=2) > config.threshold
    # Missing points are 0, and would stretch the box to the corner of the picture.
    masked = np.where((scores > 0)[..., None], points, np.nan)
    boxes = np.full((len(frames), len(HANDS), 4), np.nan)
    if not seen.any():
        return boxes
    low, high = np.nanmin(masked[seen], axis=1), np.nanmax(masked[seen], axis=1)
    # A wild point would ask for a crop that does not fit into memory.
    half = min(config.margin * float((high - low).max()), max(height, width)) / 2
    middle = (low + high) / 2
    boxes[seen] = np.concatenate([middle - half, middle + half], axis=1) / (width, height, width, height)
    for hand in range(len(HANDS)):
        left_out = _left_out(scores[:, hand], seen[:, hand], config.share, derive_seed(seed, HANDS[hand]))
        boxes[left_out, hand] = np.nan
    return boxes


def _left_out(scores: np.ndarray, seen: np.ndarray, share: float, seed: int) -> np.ndarray:
    """Return the numbers of the frames that are not drawn, from the scores (T, 21) of a hand."""
    candidates = np.flatnonzero(seen)
    count = int(np.ceil(share * len(seen)))
    if count >= len(candidates):
        return np.empty(0, np.int64)
    sure = scores[candidates][:, FINGER_TIPS].min(axis=1).astype(np.float64)
    # Pictures help most where the key points are unsure.
    weights = sure.max() - sure + LEAST_WEIGHT
    drawn = np.random.default_rng(seed).choice(
        candidates, size=count, replace=False, p=weights / weights.sum()
    )
    return np.setdiff1d(candidates, drawn)


def crop_hands(frames: np.ndarray, boxes: np.ndarray, *, size: int) -> np.ndarray:
    """Return both crops of each frame in one picture: left hand, then right hand, in the upper half.

    Args:
        frames: frames (T, H, W, 3), uint8.
        boxes: result of :func:`hand_boxes`, (T, 2, 4).
        size: side of a crop in pixels.

    Returns:
        (T, 2 size, 2 size, 3), uint8. The lower half is black.
    """
    crops = np.zeros((len(frames), 2 * size, 2 * size, 3), np.uint8)
    scale = np.asarray([frames.shape[2], frames.shape[1]] * 2)
    for frame, row, target in zip(frames, boxes, crops, strict=True):
        picture = Image.fromarray(frame)
        for hand, box in enumerate(row):
            if np.isnan(box).any():
                continue
            left, top, right, bottom = np.rint(box * scale).astype(int).tolist()
            # Pillow fills with black beyond the picture. A box has at least one pixel.
            crop = picture.crop((left, top, max(right, left + 1), max(bottom, top + 1)))
            resized = crop.resize((size, size), Image.Resampling.BILINEAR)
            target[:size, hand * size : (hand + 1) * size] = np.asarray(resized)
    return crops


def check_frames(clip: PoseClip, num_frames: int, *, origin: str) -> None:
    """Refuse key points of another number of frames than the video has.

    Raises:
        DataError: the numbers differ: crops would show other moments.
    """
    if len(clip) != num_frames:
        raise DataError(
            f"{origin} must hold the {num_frames} frames of the video to crop hands, but holds {len(clip)}."
        )
