"""Pose files are encoded for translation as an extraction encodes them."""

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from click.testing import CliRunner
from stage_two_fixtures import TEXTS

from fla_llm.cli import fla
from fla_llm.core.errors import DataError
from fla_llm.core.sample import Sample
from fla_llm.corpora.manifest import Manifest, write_manifest
from fla_llm.encoder.config import EncoderConfig, PoseConfig
from fla_llm.encoder.encode import encode
from fla_llm.encoder.pose_clips import read_normalised, thin_out
from fla_llm.encoder.pose_encoder import PoseEncoder
from fla_llm.finetune.config import ProjectorConfig, TuneConfig
from fla_llm.finetune.train import tune
from fla_llm.pipeline.clip_files import ClipReader
from fla_llm.pipeline.feature_recipe import FeatureRecipe
from fla_llm.pipeline.translate import encode_videos
from fla_llm.poses.reading import list_pose_files
from fla_llm.video import Clip
from fla_llm.video.sampling import FrameSampling

CONFIG = EncoderConfig(
    kind="poses", hidden_size=8, sampling=FrameSampling(stride=2, max_frames=10), poses=PoseConfig(width=8)
)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Return a folder with two clips, a clip without a body between them, and another file."""
    rng = np.random.default_rng(0)
    for name in ("a", "b", "c"):
        poses = rng.uniform(0.1, 0.9, (9, 133, 3))
        poses[..., 2] = 0.1 if name == "b" else 0.9
        np.savez(tmp_path / f"{name}.npz", keypoints=poses, **({"fps": 25.0} if name == "a" else {}))
    (tmp_path / "notes.txt").write_text("")
    return tmp_path


def test_pose_files_give_the_features_of_an_extraction(folder: Path) -> None:
    encoder, device = PoseEncoder(CONFIG), torch.device("cpu")
    recipe = FeatureRecipe(sampling=CONFIG.sampling, dtype=torch.float32, phase=1)
    paths, faults = list_pose_files(folder), dict[int, str]()
    assert [path.name for path in paths] == ["a.npz", "b.npz", "c.npz"]
    found = dict(
        encode_videos(
            encoder, [Clip(path=path) for path in paths], recipe=recipe, device=device, faults=faults
        )
    )
    assert list(found) == [0, 2]
    assert "must show at least 4 points of the body" in faults[1]
    for number, features in found.items():
        poses = read_normalised(paths[number], config=CONFIG.poses)
        thin = thin_out(poses, sampling=CONFIG.sampling, phase=1, fps=None)
        [(_, expected)] = encode(
            encoder, [(0, thin)], frame_batch=32, level="sign", device=device, dtype=torch.float32
        )
        assert features.shape == (4, 8)
        np.testing.assert_array_equal(features, expected)


def test_a_target_frame_rate_needs_the_rate_of_the_file(folder: Path) -> None:
    recipe = FeatureRecipe(sampling=FrameSampling(stride=2, fps=12.5), dtype=torch.float32)
    read = ClipReader(CONFIG, recipe)
    assert len(read(Clip(path=folder / "a.npz"))) == 5
    with pytest.raises(DataError, match=r"c\.npz must have a frame rate"):
        read(Clip(path=folder / "c.npz"))


def test_folders_without_pose_files(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="must hold pose files"):
        list_pose_files(tmp_path)
    assert list_pose_files(tmp_path / "one.npz") == [tmp_path / "one.npz"]


def test_a_run_on_key_points_translates_pose_files_by_itself(
    config: TuneConfig, llm_folder: Callable[[str], Path], tmp_path: Path
) -> None:
    rng, samples = np.random.default_rng(1), []
    for number, text in enumerate(TEXTS[:2]):
        poses = rng.uniform(0.1, 0.9, (6 + 4 * number, 133, 3))
        poses[..., 2] = 0.9
        np.savez(tmp_path / f"{number}.npz", keypoints=poses)
        about = {"num_frames": len(poses), "fps": 25.0, "text": text, "language": "de"}
        samples += [
            Sample(id=f"{number}", split=split, poses=f"{number}.npz", **about) for split in ("train", "dev")
        ]
    manifest = Manifest(corpus="toy", root=tmp_path, samples=tuple(samples))
    write_manifest(tmp_path / "manifest.jsonl", manifest)

    def fla_run(*arguments: str) -> str:
        return CliRunner().invoke(fla, arguments, catch_exceptions=False).stdout

    cache, run = tmp_path / "cache", tmp_path / "run"
    fla_run(
        "extract", "--encoder", "poses", "--set", "poses.max_frames=8", "--manifest",
        str(tmp_path / "manifest.jsonl"), "--out", str(cache),
    )  # fmt: skip
    own = replace(
        config, quantise="none", train="full", projector=ProjectorConfig(kind="poses", width=8),
        training=replace(config.training, epochs=1),
    )  # fmt: skip
    tune([cache], llm=str(llm_folder("mt5")), config=own, out=run, device="cpu")
    rows = [json.loads(line) for line in (run / "predictions-dev.jsonl").read_text().splitlines()]
    said = fla_run("translate", str(tmp_path / "0.npz"), str(tmp_path / "1.npz"), "--run", str(run))
    assert said.splitlines() == [row["prediction"] for row in rows]
