"""Normalisation as published, from the formulas, and the isotropic one."""

import numpy as np
import pytest

from fla_llm.core.errors import DataError
from fla_llm.poses.clip import PoseClip, make_clip
from fla_llm.poses.layouts import LAYOUTS, PARTS, SLICES
from fla_llm.poses.normalise import normalise

from .conftest import Arrays

BODY = [0, 3, 4, 5, 6, 7, 8, 9, 10]
FACE = [*range(23, 40, 2), *range(83, 91), 53]


def published(points: np.ndarray, scores: np.ndarray) -> np.ndarray:
    """Return the points by the formulas of the publication, part by part and frame by frame."""
    valid = [points[t, p] for t in range(len(points)) for p in BODY if scores[t, p] > 0.3]
    (x0, y0), (x1, y1) = np.min(valid, 0), np.max(valid, 0)
    scale = max(x1 - x0, y1 - y0)
    corner = np.array([(x0 + x1 - scale) / 2, (y0 + y1 - scale) / 2])
    frames = []
    for xy, score in zip(points, scores, strict=True):
        parts = [((xy[BODY] - corner) / scale - 0.5) * 2]
        for place in (range(91, 112), range(112, 133)):
            parts.append((xy[list(place)] - xy[place[0]]) / scale)
        parts.append((xy[FACE] - xy[FACE[-1]]) / scale)
        kept = score[[*BODY, *range(91, 133), *FACE]]
        frame = np.clip(np.concatenate([np.concatenate(parts), kept[:, None]], axis=1), -1, 1)
        frame[kept <= 0.3] = 0
        frames.append(frame)
    return np.stack(frames)


def test_the_published_normalisation(wholebody: Arrays) -> None:
    points, scores = wholebody
    scores[1, [5, 95, 120, 60]] = 0.3  # at the threshold: missing
    clip = make_clip(points, scores, origin="clip")
    found = normalise(clip, method="uni-sign", threshold=0.3)
    assert found.shape == (5, 69, 3)
    assert found.dtype == np.float32
    np.testing.assert_allclose(found, published(points, scores), atol=2e-6)


def test_isotropic_poses_do_not_depend_on_the_shape_of_the_picture(wholebody: Arrays) -> None:
    pixels, scores = wholebody[0] * 400, wholebody[1]
    square, wide = (make_clip(pixels, scores, origin="clip", size=size) for size in ((400, 400), (1600, 400)))
    isotropic = [normalise(clip, method="isotropic", threshold=0.3) for clip in (square, wide)]
    np.testing.assert_allclose(*isotropic, atol=1e-5)
    as_published = [normalise(clip, method="uni-sign", threshold=0.3) for clip in (square, wide)]
    assert np.abs(as_published[0] - as_published[1]).max() > 0.1


def test_isotropic_needs_the_size_of_the_picture(wholebody: Arrays) -> None:
    with pytest.raises(DataError, match=r"width and height.*\n.*normalisation=uni-sign"):
        normalise(make_clip(*wholebody, origin="clip"), method="isotropic", threshold=0.3)


@pytest.mark.parametrize("fault", ["unseen", "one place"])
def test_a_clip_without_a_body_is_refused(wholebody: Arrays, fault: str) -> None:
    points, scores = wholebody
    if fault == "unseen":
        scores[:, :11] = 0.1
    else:
        points[:, :11] = 0.5
    with pytest.raises(DataError, match="must show .*body"):
        normalise(make_clip(points, scores, origin="clip"), method="uni-sign", threshold=0.3)


def test_points_that_are_no_numbers_are_missing(wholebody: Arrays) -> None:
    points, scores = wholebody
    points[2, 100] = np.nan
    scores[3, 6] = np.nan
    found = normalise(make_clip(points, scores, origin="clip"), method="uni-sign", threshold=0.3)
    assert np.isfinite(found).all()
    assert not found[2, SLICES["left"]][100 - 91].any()
    assert not found[3, BODY.index(6)].any()


def test_a_hand_without_a_wrist_is_missing(wholebody: Arrays) -> None:
    points, scores = wholebody
    scores[0, 91] = 0
    found = normalise(make_clip(points, scores, origin="clip"), method="uni-sign", threshold=0.3)
    assert not found[0, SLICES["left"]].any()
    assert found[1, SLICES["left"]].any()


@pytest.mark.parametrize("name", LAYOUTS)
def test_each_layout_chooses_69_points_of_its_own(name: str) -> None:
    layout = LAYOUTS[name]
    assert sum(PARTS.values()) == len(set(layout.chosen)) == 69
    assert max(layout.chosen) < layout.num_points


@pytest.mark.parametrize("name", LAYOUTS)
def test_all_layouts_of_one_person_give_one_pose(name: str, wholebody: Arrays) -> None:
    points, scores = wholebody
    layout, whole = LAYOUTS[name], LAYOUTS["coco-wholebody"]
    other, other_scores = np.zeros((5, layout.num_points, 2)), np.zeros((5, layout.num_points))
    other[:, list(layout.chosen)] = points[:, list(whole.chosen)]
    other_scores[:, list(layout.chosen)] = scores[:, list(whole.chosen)]
    clip: PoseClip = make_clip(other, other_scores, origin="clip")
    assert clip.layout.name == name
    np.testing.assert_array_equal(
        normalise(clip, method="uni-sign", threshold=0.3),
        normalise(make_clip(points, scores, origin="clip"), method="uni-sign", threshold=0.3),
    )
