"""Crops of the hands: where they lie, which frames are drawn, and what the encoder makes of them."""

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch

from fla_llm.core.errors import ConfigError, DataError, ModelError
from fla_llm.encoder.config import EncoderConfig
from fla_llm.encoder.hand_crops import HandsConfig, check_frames, crop_hands, hand_boxes
from fla_llm.encoder.hand_encoder import HandEncoder
from fla_llm.encoder.model import VisualEncoder
from fla_llm.encoder.pose_encoder import PoseEncoder
from fla_llm.poses.clip import PoseClip, make_clip
from fla_llm.poses.layouts import NUM_POINTS, SLICES

HEIGHT, WIDTH = 100, 200
PLAIN = HandsConfig(margin=1.0)


def key_points(frames: int = 4) -> PoseClip:
    """Return a left hand 20 pixels wide around (50, 40), and a right hand 10 pixels high around (150, 60)."""
    points, scores = np.zeros((frames, NUM_POINTS, 2)), np.zeros((frames, NUM_POINTS))
    for part, middle, extent in (("left", (50, 40), (20, 8)), ("right", (150, 60), (4, 10))):
        corners = np.asarray(middle) + np.linspace(-0.5, 0.5, 21)[:, None] * extent
        points[:, SLICES[part]] = corners
        scores[:, SLICES[part]] = 0.9
    return make_clip(points, scores, origin="test", size=(WIDTH, HEIGHT))


def boxes_of(clip: PoseClip, config: HandsConfig = PLAIN, *, seed: int = 0) -> np.ndarray:
    found = hand_boxes(clip, list(range(len(clip))), height=HEIGHT, width=WIDTH, config=config, seed=seed)
    return found * (WIDTH, HEIGHT, WIDTH, HEIGHT)


def test_a_crop_is_a_square_of_one_size_around_the_middle_of_a_hand() -> None:
    boxes = boxes_of(key_points())
    np.testing.assert_allclose(boxes[:, 0], [[40, 30, 60, 50]] * 4, atol=1e-4)
    np.testing.assert_allclose(boxes[:, 1], [[140, 50, 160, 70]] * 4, atol=1e-4)
    wider = boxes_of(key_points(), HandsConfig(margin=1.5))
    np.testing.assert_allclose(wider[0, 0], [35, 25, 65, 55], atol=1e-4)


def test_a_missing_hand_has_no_crop_and_missing_points_do_not_stretch_it() -> None:
    clip = key_points()
    clip.scores[1, SLICES["left"]] = 0.2
    clip.scores[2, SLICES["right"]][[3, 7]] = 0
    clip.points[2, SLICES["right"]][[3, 7]] = 0
    boxes = boxes_of(clip)
    assert np.isnan(boxes[1, 0]).all()
    assert np.isfinite(boxes[[0, 2, 3], 0]).all()
    np.testing.assert_allclose(boxes[2, 1], [140, 50, 160, 70], atol=1)
    assert np.isfinite(boxes_of(clip, replace(PLAIN, threshold=0.1))).all()
    clip.scores[:] = 0
    assert np.isnan(boxes_of(clip)).all()


def test_a_wild_point_cannot_ask_for_more_than_the_picture() -> None:
    clip = key_points()
    clip.points[0, SLICES["left"]][0] = 1e6
    boxes = boxes_of(clip)
    assert np.nanmax(boxes[..., 2] - boxes[..., 0]) <= WIDTH * 1.0001


def test_frames_are_drawn_by_unsure_finger_tips_and_by_the_seed() -> None:
    clip = key_points(20)
    clip.scores[5:, SLICES["left"]] = 0.95  # the surest frames have nearly no weight
    drawn = {
        seed: np.isfinite(boxes_of(clip, HandsConfig(share=0.1), seed=seed)[..., 0]) for seed in range(6)
    }
    for frames in drawn.values():
        assert frames.sum(axis=0).tolist() == [2, 2]  # of each hand
        assert not frames[5:, 0].any()
    again = np.isfinite(boxes_of(clip, HandsConfig(share=0.1), seed=3)[..., 0])
    assert np.array_equal(again, drawn[3])
    assert any(not np.array_equal(drawn[0], frames) for frames in drawn.values())
    assert np.isfinite(boxes_of(clip, HandsConfig(share=1.0))).all()


def test_crops_show_their_part_of_the_picture_and_black_beyond_it() -> None:
    frame = np.zeros((1, 50, 100, 3), np.uint8)
    frame[0, :, :50], frame[0, :, 50:] = (200, 0, 0), (0, 0, 90)
    boxes = np.asarray([[[0.1, 0.2, 0.3, 0.6], [0.9, 0.0, 1.1, 0.4]]])
    (crop,) = crop_hands(frame, boxes, size=8)
    assert crop.shape == (16, 16, 3)
    assert (crop[:8, :8] == (200, 0, 0)).all()
    assert (crop[:8, 8:11] == (0, 0, 90)).all()
    assert not crop[:8, 13:].any()
    assert not crop[8:].any()
    boxes[0, 0] = np.nan
    assert not crop_hands(frame, boxes, size=8)[0, :8, :8].any()


def test_settings_are_bounded_and_frames_must_be_those_of_the_video() -> None:
    for wrong in (
        {"margin": 0.5},
        {"threshold": -0.1},
        {"share": 0.0},
        {"share": 1.1},
        {"source_size": 4096},
    ):
        with pytest.raises(ConfigError, match=rf"hands\.{next(iter(wrong))} must be"):
            HandsConfig(**wrong)
    with pytest.raises(
        DataError, match="clip.npz must hold the 9 frames of the video to crop hands, but hol"
    ):
        check_frames(key_points(), 9, origin="clip.npz")


def pictures_encoder(**settings: Any) -> VisualEncoder:
    torch.manual_seed(0)
    config = EncoderConfig(
        backbone="test_resnet", image_size=16, resize_size=16, hidden_size=8, temporal=False, **settings
    )
    return VisualEncoder(config).eval()


def test_features_are_those_of_the_left_hand_then_of_the_right_hand() -> None:
    inner = pictures_encoder()
    hands = HandEncoder(inner, HandsConfig())
    pictures = torch.randint(0, 256, (3, 3, 32, 32), dtype=torch.uint8)
    found = hands.unit_features(pictures)
    assert found.shape == (3, hands.frame_size) == (3, 2 * inner.frame_size)
    left, right = (inner.unit_features(pictures[:, :, :16, part]) for part in (slice(16), slice(16, 32)))
    torch.testing.assert_close(found, torch.cat([left, right], dim=1))
    assert hands.settings["crop"]["margin"] == 1.2
    with pytest.raises(ModelError, match="level must be frame for crops of the hands"):
        hands.require_temporal()


def test_other_encoders_are_refused() -> None:
    poses = PoseEncoder(EncoderConfig(kind="poses", temporal=False))
    with pytest.raises(ConfigError, match="--crop hands must have an encoder of single pictures"):
        HandEncoder(poses, HandsConfig())
