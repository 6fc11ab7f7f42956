"""``fla poses --detector rtmlib``: the weights are files of the user, and nothing is downloaded.

Stand-ins for rtmlib and onnxruntime have the calls of the real packages (0.0.16 and 1.32), and read the
shapes of a model from a JSON file. The red channel of a picture says how many persons there are.
"""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from fla_llm.core.errors import ConfigError, DataError
from fla_llm.corpora.manifest import read_manifest
from fla_llm.poses.detector import PoseDetector
from fla_llm.poses.reading import read_poses

from .conftest import Run, make_environment

Detect = Callable[..., Run]
ONNXRUNTIME = """
import json
from types import SimpleNamespace

class InferenceSession:
    def __init__(self, path, *, providers):
        assert providers == ["CPUExecutionProvider"]
        content = json.load(open(path))
        self.inputs, self.outputs = (
            [SimpleNamespace(shape=shape) for shape in content[key]] for key in ("inputs", "outputs")
        )

    def get_inputs(self):
        return self.inputs

    def get_outputs(self):
        return self.outputs
"""
RTMLIB = """
import numpy as np

class Tool:
    def __init__(self, path, *, model_input_size, backend, device):
        assert (backend, device) == ("onnxruntime", "cpu")
        assert model_input_size == self.expected
        print("a library prints on standard output")

class YOLOX(Tool):
    expected = (40, 50)  # height, width

    def __call__(self, image):
        count = int(image[0, 0, 2])  # red is the last of OpenCV's colours
        # The largest is never the first.
        return np.array([[0, 0, 2 + 4 * (n % 2), 8] for n in range(count)], dtype=np.float64).reshape(-1, 4)

class RTMPose(Tool):
    expected = (48, 64)  # width, height

    def __call__(self, image, bboxes):
        (box,) = bboxes
        points = np.zeros((1, 133, 2)) + [box[2], box[3]]
        points[0, :, 0] += np.arange(133) / 100
        return points, np.full((1, 133), 0.8)
"""
POINTS = {"inputs": [["batch", 3, 64, 48]], "outputs": [["batch", 133, 96], ["batch", 133, 128]]}
PERSONS = {"inputs": [["batch", 3, 40, 50]], "outputs": [["batch", "n", 5], ["batch", "n"]]}


@pytest.fixture(scope="session")
def rtmlib(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of an environment with packages ``rtmlib`` and ``onnxruntime``."""
    packages = make_environment(folder := tmp_path_factory.mktemp("rtmlib"))
    for name, version, code in (("rtmlib", "0.0.16", RTMLIB), ("onnxruntime", "1.32.0", ONNXRUNTIME)):
        (packages / f"{name}.py").write_text(code)
        (packages / f"{name}-{version}.dist-info").mkdir()
        (packages / f"{name}-{version}.dist-info/METADATA").write_text(f"Name: {name}\nVersion: {version}\n")
    return folder


@pytest.fixture
def weights(tmp_path: Path) -> Path:
    """A folder with both models."""
    (folder := tmp_path / "weights").mkdir()
    (folder / "a.onnx").write_text(json.dumps(PERSONS))
    (folder / "b.onnx").write_text(json.dumps(POINTS))
    return folder


@pytest.fixture
def find(detect: Detect, rtmlib: Path) -> Detect:
    """Run ``fla poses`` with rtmlib."""

    def run(manifest: Path, weights: Path, *options: str, **more: Any) -> Run:
        given = ("--detector", "rtmlib", "--weights", str(weights), *options)
        return detect(manifest, *given, environment=rtmlib, **more)

    return run


def test_the_largest_person_has_133_points_and_the_run_goes_on(
    write_clips: Callable[..., Path], find: Detect, weights: Path, tmp_path: Path
) -> None:
    manifest = write_clips({"one": [1, 1], "two": [2, 2, 2], "nobody": [0]})
    done = find(manifest, weights)
    assert [clip["id"] for clip in done.result["missing"]] == ["nobody"]
    found = read_manifest(tmp_path / "poses/manifest.jsonl")
    clips = {sample.id: read_poses(found.file(sample, "poses")) for sample in found.samples}
    for id, width, frames in (("one", 2, 2), ("two", 6, 3)):
        clip = clips[id]
        assert (clip.layout.name, len(clip)) == ("coco-wholebody", frames)
        np.testing.assert_allclose(clip.points[:, 7] * [24, 16], [[width + 0.07, 8]] * frames, atol=1e-4)
        np.testing.assert_allclose(clip.scores, 0.8)
    assert not clips["nobody"].scores.any()
    assert found.detector is not None
    assert (found.detector.name, found.detector.version) == ("rtmlib", "0.0.16")
    assert found.detector.weights is not None
    again = find(manifest, weights)
    assert again.result["earlier"] == 3


def test_points_without_a_detector_of_persons_take_the_whole_picture(
    manifest: Path, find: Detect, weights: Path, tmp_path: Path
) -> None:
    find(manifest, weights / "b.onnx", "--shard", "0/2", layout="uni-sign")
    clip = read_poses(tmp_path / "poses/train/a.npz")
    assert clip.layout.name == "uni-sign"
    np.testing.assert_allclose(clip.points[:, 0] * [24, 16], [[24, 16]] * 2, atol=1e-4)


def test_a_folder_holds_the_points_of_one_set_of_weights(
    manifest: Path, find: Detect, weights: Path, tmp_path: Path
) -> None:
    find(manifest, weights)
    first = read_manifest(tmp_path / "poses/manifest.jsonl").detector
    (weights / "b.onnx").rename(weights / "0.onnx")  # a name has no effect
    assert find(manifest, weights).result["earlier"] == 4
    (weights / "0.onnx").write_text(json.dumps(POINTS | {"more": "training"}))
    with pytest.raises(DataError, match="made in another way: weights is"):
        find(manifest, weights)
    find(manifest, weights, out=tmp_path / "other")
    second = read_manifest(tmp_path / "other/manifest.jsonl").detector
    assert isinstance(first, PoseDetector)
    assert isinstance(second, PoseDetector)
    assert not first.is_like(second)


def test_weights_that_do_not_fit_are_refused(
    manifest: Path, find: Detect, detect: Detect, rtmlib: Path, weights: Path, tmp_path: Path
) -> None:
    def refuse(says: str, weights: Path = weights, **more: Any) -> None:
        with pytest.raises(ConfigError, match=says):
            find(manifest, weights, **more)
        assert not (tmp_path / "poses").exists()

    refuse("must have a model of 133 key points, but has none", weights / "a.onnx")
    refuse("an ONNX file, or a folder with one or two, but .* does not exist", tmp_path / "nowhere")
    refuse("min_detection_confidence must not be set: rtmlib has no such", min_detection_confidence=0.1)
    (weights / "a.onnx").write_text((weights / "b.onnx").read_text())
    refuse("one detector of persons and one of key points")
    (weights / "a.onnx").write_text(json.dumps(POINTS | {"outputs": [[1, 17, 96], [1, 17, 128]]}))
    refuse("a.onnx must find 133 key points, but finds 17")
    (weights / "a.onnx").write_text(json.dumps(PERSONS | {"inputs": [["batch", 3, "h", "w"]]}))
    refuse(r"a.onnx must have an input of one size, but has \['h', 'w'\]")
    (weights / "a.onnx").write_text("{")
    refuse("a.onnx must be an ONNX model of pictures, but")
    (weights / "c.onnx").touch()
    refuse("one or two, but .* has 3")
    with pytest.raises(
        ConfigError, match=r"rtmlib must have weights, and downloads none\.\nGive --weights DIR"
    ):
        detect(manifest, "--detector", "rtmlib", environment=rtmlib)
    with pytest.raises(ConfigError, match="must go with --detector rtmlib: mediapipe brings its own"):
        detect(manifest, "--weights", str(weights))
