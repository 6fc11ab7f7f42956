"""A video given to a run on poses goes through the detector, and gives what its pose file gives."""

from collections.abc import Callable
from pathlib import Path

import av
import numpy as np
import pytest
import torch

from fla_llm.core.errors import ConfigError, DataError
from fla_llm.core.sample import Sample
from fla_llm.corpora.manifest import Manifest, write_manifest
from fla_llm.encoder.config import EncoderConfig
from fla_llm.pipeline.clip_files import ClipReader
from fla_llm.pipeline.feature_recipe import FeatureRecipe
from fla_llm.poses.detector import PoseDetector
from fla_llm.video import Clip, FrameSampling

from .conftest import Run

SAMPLING = FrameSampling(stride=2, max_frames=10)


@pytest.fixture
def video(tmp_path: Path) -> Path:
    path = tmp_path / "clip.mp4"
    with av.open(str(path), "w") as container:
        stream = container.add_stream("libx264", rate=25)
        stream.width, stream.height, stream.pix_fmt = 48, 32, "yuv420p"
        for value in range(5):
            frame = av.VideoFrame.from_ndarray(np.full((32, 48, 3), 20 * value, np.uint8))
            container.mux(stream.encode(frame))
        container.mux(stream.encode())
    return path


@pytest.fixture
def read() -> ClipReader:
    config = EncoderConfig(kind="poses", temporal=False, sampling=SAMPLING)
    return ClipReader(config, FeatureRecipe(sampling=SAMPLING, dtype=torch.float32))


@pytest.mark.usefixtures("known_environment")
def test_a_video_gives_the_key_points_of_its_pose_file(
    video: Path, read: ClipReader, detect: Callable[..., Run], tmp_path: Path
) -> None:
    sample = Sample(
        id="clip", split="test", video="clip.mp4", text="x", language="de", num_frames=5, fps=25.0
    )
    manifest = Manifest(corpus="own", root=tmp_path, samples=(sample,))
    write_manifest(tmp_path / "manifest.jsonl", manifest)
    assert detect(tmp_path / "manifest.jsonl").exit_code == 0
    live = read(Clip(path=video))
    assert live.shape == (3, 69, 3)
    assert live.any()
    np.testing.assert_array_equal(live, read(Clip(path=tmp_path / "poses/test/clip.npz")))


@pytest.fixture
def known_environment(environment: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Put the environment into the usual place."""
    (tmp_path / "fla-llm").mkdir()
    (tmp_path / "fla-llm/mediapipe").symlink_to(environment)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))


@pytest.mark.usefixtures("known_environment")
def test_a_video_goes_through_the_detector_of_training_alone(
    video: Path, caplog: pytest.LogCaptureFixture
) -> None:
    def read(*known: PoseDetector) -> None:
        recipe = FeatureRecipe(sampling=SAMPLING, dtype=torch.float32, detectors=known)
        ClipReader(EncoderConfig(kind="poses", temporal=False, sampling=SAMPLING), recipe)(Clip(path=video))

    same, older = (PoseDetector(name="mediapipe", version=version) for version in "01")
    other = PoseDetector(name="rtmlib", version="0.0.16", weights="abc")
    read(other, same)
    assert not caplog.records
    read(older)
    assert "of training are from mediapipe 1, those of the video from mediapipe 0" in caplog.text
    with pytest.raises(
        ConfigError, match=r"rtmlib 0\.0\.16 with weights abc, but goes .*\n.*--detector rtmlib"
    ):
        read(other)


def test_without_the_detector_a_video_is_refused_with_the_command_that_installs_it(
    video: Path, read: ClipReader, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "empty"))
    with pytest.raises(ConfigError, match="Run: fla poses --set-up$"):
        read(Clip(path=video))
    with pytest.raises(DataError, match="must be a pose file or a video file, but is none"):
        read(Clip(path=tmp_path / "absent.mp4"))
