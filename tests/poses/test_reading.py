"""Readers: what is written is read, damaged files are refused by name, and no code in a file is run."""

import os
import pickle
import runpy
import sys
import zipfile
from collections.abc import Callable
from io import BytesIO
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from fla_llm.core.errors import ConfigError, DataError
from fla_llm.poses import array_files
from fla_llm.poses.array_files import write_npz
from fla_llm.poses.clip import make_clip
from fla_llm.poses.reading import read_poses

from .conftest import Arrays

Write = Callable[..., Path]
refused: Any = runpy.run_path(str(Path(__file__).parents[1] / "little_memory.py"))["check_refused"]


@pytest.mark.parametrize("protocol", range(2, pickle.HIGHEST_PROTOCOL + 1))
@pytest.mark.parametrize("dtype", ["f4", "f8", ">f4"])
def test_published_files(wholebody: Arrays, write_pkl: Write, protocol: int, dtype: str) -> None:
    points, scores = (values.astype(dtype) for values in wholebody)
    clip = read_poses(write_pkl(points, scores, protocol=protocol))
    assert clip.layout.name == "coco-wholebody"
    assert clip.aspect is None
    np.testing.assert_array_equal(clip.points, points.astype("f4"))
    np.testing.assert_array_equal(clip.scores, scores.astype("f4"))


def test_names_of_numpy_before_2(wholebody: Arrays, write_pkl: Write) -> None:
    path = write_pkl(*wholebody, protocol=2)
    content = path.read_bytes()
    assert b"numpy._core.multiarray" in content
    path.write_bytes(content.replace(b"numpy._core.multiarray", b"numpy.core.multiarray"))
    assert len(read_poses(path)) == 5


def test_start_and_end_cut_the_clip(wholebody: Arrays, write_pkl: Write) -> None:
    points, scores = wholebody
    clip = read_poses(write_pkl(points, scores, start=1, end=4))
    np.testing.assert_array_equal(clip.points, points[1:4].astype("f4"))
    with pytest.raises(DataError, match="0 <= start < end <= 5 frames, but has 4 and 4"):
        read_poses(write_pkl(points, scores, start=4, end=4))


class Order:
    """Unpickles as a command of the shell."""

    def __reduce__(self) -> tuple[Any, ...]:
        return os.system, ("touch pwned",)


@pytest.mark.parametrize(
    "content",
    [
        Order(),
        {"keypoints": [Order()], "scores": []},
        {"keypoints": [np.array(["text"])], "scores": [np.zeros((1, 133))]},
        {"keypoints": [np.array([Order()], object)], "scores": [np.zeros((1, 133))]},
        {"keypoints": [np.zeros((1, 133, 2))], "scores": []},
        {"keypoints": [np.zeros((0, 133, 2))], "scores": [np.zeros((0, 133))]},
        {"keypoints": [1.0], "scores": [2.0]},
        {"keypoints": [np.zeros((1, 132, 2))], "scores": [np.zeros((1, 132))]},
        {"keypoints": [np.zeros((1, n, 2)) for n in (132, 133)], "scores": [np.zeros((1, 133))] * 2},
        {"scores": []},
        [],
    ],
)
def test_other_pickles_are_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, content: Any) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "clip.pkl").write_bytes(pickle.dumps(content))
    with pytest.raises(DataError, match=r"clip\.pkl"):
        read_poses(tmp_path / "clip.pkl")
    assert not (tmp_path / "pwned").exists()


def test_a_pickle_that_declares_a_larger_array_is_refused(wholebody: Arrays, write_pkl: Write) -> None:
    path = write_pkl(*wholebody, protocol=2)
    content = path.read_bytes()
    shape = b"K\x01K\x85K\x02\x87"
    assert content.count(shape) == 5
    path.write_bytes(content.replace(shape, b"J\xff\xff\xff\x7fK\x85K\x02\x87"))
    assert "clip.pkl" in refused(lambda: read_poses(path))


def test_a_pickle_that_repeats_an_array_builds_no_more_than_a_limit(tmp_path: Path) -> None:
    point, score = np.zeros((1, 13300, 2)), np.zeros((1, 13300))
    path = tmp_path / "clip.pkl"
    path.write_bytes(pickle.dumps({"keypoints": [point] * 2000, "scores": [score] * 2000}))
    assert "repeats arrays" in refused(lambda: read_poses(path))


def test_cut_files_are_refused(wholebody: Arrays, write_pkl: Write, tmp_path: Path) -> None:
    paths = [write_pkl(*wholebody), tmp_path / "clip.npz", tmp_path / "clip.npy"]
    write_npz(paths[1], make_clip(*wholebody, origin="clip"), size=(640, 480))
    np.save(paths[2], np.concatenate([wholebody[0], wholebody[1][..., None]], -1))
    for path in paths:
        assert len(read_poses(path)) == 5
        path.write_bytes(path.read_bytes()[:-300])
        with pytest.raises(DataError, match=path.name):
            read_poses(path)


def test_what_is_written_is_read(wholebody: Arrays, tmp_path: Path) -> None:
    written = make_clip(*wholebody, origin="clip", fps=25.0)
    write_npz(tmp_path / "clip.npz", written, size=(640, 480))
    clip = read_poses(tmp_path / "clip.npz")
    np.testing.assert_allclose(clip.points, written.points, atol=1e-6)
    np.testing.assert_array_equal(clip.scores, written.scores)
    assert (clip.aspect, clip.fps, clip.layout.name) == (640 / 480, 25.0, "coco-wholebody")


def test_an_archive_that_unpacks_to_more_than_it_holds_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(array_files, "LEAST_LIMIT_BYTES", 1 << 20)
    path = tmp_path / "clip.npz"
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("a", bytes(1 << 22))
    assert "unpacks to more than" in refused(lambda: read_poses(path))
    header = BytesIO()
    np.lib.format.write_array_header_1_0(
        header, {"descr": "<f8", "fortran_order": False, "shape": (1 << 30, 133, 2)}
    )
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("keypoints.npy", header.getvalue())
    assert "declares more numbers" in refused(lambda: read_poses(path))


def test_arrays_of_objects_are_refused(tmp_path: Path) -> None:
    np.savez(tmp_path / "clip.npz", keypoints=np.array([{}], object))
    with pytest.raises(DataError, match="without pickled objects"):
        read_poses(tmp_path / "clip.npz")


@pytest.mark.parametrize(
    ("arrays", "fault"),
    [
        ({"keypoints": np.zeros((3, 133, 2))}, "must hold keypoints and scores"),
        ({"keypoints": np.zeros((3, 133, 2)), "scores": np.zeros((3, 132))}, "must hold points"),
        ({"keypoints": np.zeros((3, 133, 3)), "layout": np.array("openpose")}, "layout 'openpose'"),
        ({"keypoints": np.zeros((3, 133, 3)), "size": np.array([640, 0])}, "size must be above 0"),
        ({"keypoints": np.zeros((3, 133, 3)), "fps": np.array(np.nan)}, "fps must be above 0"),
        ({"keypoints": np.zeros((0, 133, 3))}, "must hold points"),
        ({"keypoints": np.array([[["a"] * 3] * 133])}, "must hold numbers"),
    ],
)
def test_wrong_arrays_are_refused_by_name(tmp_path: Path, arrays: dict[str, Any], fault: str) -> None:
    np.savez(tmp_path / "clip.npz", **arrays)
    with pytest.raises(DataError, match=fault):
        read_poses(tmp_path / "clip.npz")


def test_other_suffixes_and_absent_files(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"\.pkl, \.npz, \.npy, \.pose"):
        read_poses(tmp_path / "clip.json")
    with pytest.raises(DataError, match="does not exist"):
        read_poses(tmp_path / "clip.npz")


def test_pose_files_name_the_package_that_reads_them(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "pose_format", None)
    (tmp_path / "clip.pose").write_bytes(b"")
    with pytest.raises(ConfigError, match=r"pip install \"fla-llm\[poses\]\""):
        read_poses(tmp_path / "clip.pose")


COMPONENTS = {
    "mediapipe": {
        "POSE_LANDMARKS": 33, "FACE_LANDMARKS": 468, "LEFT_HAND_LANDMARKS": 21, "RIGHT_HAND_LANDMARKS": 21,
        "POSE_WORLD_LANDMARKS": 33,
    },
    "openpose": {
        "pose_keypoints_2d": 25, "face_keypoints_2d": 70, "hand_left_keypoints_2d": 21,
        "hand_right_keypoints_2d": 21,
    },
    "other": {"POSE_LANDMARKS": 33},
}  # fmt: skip


def write_pose(path: Path, components: dict[str, int]) -> Arrays:
    """Write a file of the package, and return the points (4, P, 2) in pixels and the scores."""
    package: Any = pytest.importorskip("pose_format")
    header = package.pose_header
    parts = [
        header.PoseHeaderComponent(name, [f"{name}-{n}" for n in range(count)], [], [], "XYC")
        for name, count in components.items()
    ]
    size = header.PoseHeaderDimensions(width=640, height=480, depth=0)
    rng, count = np.random.default_rng(0), sum(components.values())
    points = rng.uniform(1, 480, (4, 1, count, 2)).astype("f4")
    scores = rng.uniform(0.1, 1, points.shape[:3]).astype("f4")
    body = package.numpy.NumPyPoseBody(fps=25, data=points, confidence=scores)
    with path.open("wb") as file:
        package.Pose(header.PoseHeader(version=0.2, dimensions=size, components=parts), body).write(file)
    return points[:, 0], scores[:, 0]


@pytest.mark.parametrize("kind", ["mediapipe", "openpose"])
def test_pose_files_by_the_package(tmp_path: Path, kind: str) -> None:
    path = tmp_path / "clip.pose"
    points, scores = write_pose(path, COMPONENTS[kind])
    clip = read_poses(path)
    count = clip.layout.num_points
    assert (clip.layout.name, clip.aspect, clip.fps) == (kind, 640 / 480, 25.0)
    np.testing.assert_allclose(clip.points, points[:, :count] / [640, 480], atol=1e-5)
    np.testing.assert_allclose(clip.scores, scores[:, :count], atol=1e-5)
    path.write_bytes(path.read_bytes()[:-3000])
    with pytest.raises(DataError, match=r"whole \.pose file"):
        read_poses(path)


def test_pose_files_of_other_components(tmp_path: Path) -> None:
    write_pose(tmp_path / "clip.pose", COMPONENTS["other"])
    with pytest.raises(DataError, match="but has POSE_LANDMARKS"):
        read_poses(tmp_path / "clip.pose")
