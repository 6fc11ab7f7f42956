"""``fla extract --crop hands``: a cache of both hands, with the steps of the key points."""

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from click.testing import CliRunner

from fla_llm.cache.reader import FeatureCache
from fla_llm.cli import fla
from fla_llm.core.errors import ConfigError
from fla_llm.corpora.manifest import Manifest, write_manifest
from fla_llm.encoder.hand_crops import crop_hands, hand_boxes
from fla_llm.extract.config import ExtractConfig, TimmConfig
from fla_llm.extract.source import load_source
from fla_llm.poses.layouts import NUM_POINTS
from fla_llm.poses.reading import read_poses
from fla_llm.video.frames import read_frames
from fla_llm.video.sampling import FrameSampling

TIMM = TimmConfig(pretrained=False, image_size=16, frame_stride=1)
CONFIG = ExtractConfig(frame_batch=4, workers=0, precision="fp32", crop="hands", timm=TIMM)


@pytest.fixture
def posed(manifest: Manifest, tmp_path: Path) -> Manifest:
    """The clips of dev with pose files, and of two clips of train one without and one of another length."""
    kept = [
        sample for sample in manifest.samples if sample.split == "dev" or sample.id in ("train/1", "train/3")
    ]
    samples = []
    for number, sample in enumerate(kept):
        draw = np.random.default_rng(number)
        frames = sample.num_frames + (sample.id == "train/1")
        points = draw.uniform(0.1, 0.9, (frames, NUM_POINTS, 2))
        path = tmp_path / f"{number}.npz"
        np.savez(path, keypoints=points, scores=draw.uniform(0.4, 0.9, (frames, NUM_POINTS)), size=(20, 18))
        samples.append(replace(sample, poses=None if sample.id == "train/3" else str(path)))
    return replace(manifest, samples=tuple(samples))


def extracted(posed: Manifest, out: Path, config: ExtractConfig, run_extract: Any) -> Any:
    # Key points of the files are in pixels of pictures of 20 by 18.
    encoder, fingerprint = load_source(ckpt=None, encoder="timm:test_resnet", config=config)
    return run_extract(manifest=posed, encoder=encoder, fingerprint=fingerprint, out=out, config=config)


def test_the_features_are_those_of_the_crops(posed: Manifest, run_extract: Any, tmp_path: Path) -> None:
    result = extracted(posed, tmp_path / "cache", CONFIG, run_extract)
    reasons = {clip.id: clip.reason for clip in result.rejected}
    assert reasons.keys() == {"train/1", "train/3"}
    assert "must hold the 4 frames of the video to crop hands, but holds 5" in reasons["train/1"]
    assert "must have a pose file, but the manifest gives none" in reasons["train/3"]
    cache, (sample, _) = FeatureCache(tmp_path / "cache", "dev"), posed.split("dev")
    assert cache.num_steps.tolist() == [5, 3]
    inner, _ = load_source(ckpt=None, encoder="timm:test_resnet", config=replace(CONFIG, crop="none"))
    poses, clip = read_poses(Path(str(sample.poses))), posed.clip(sample)
    boxes = hand_boxes(poses, [*range(5)], height=18, width=20, config=CONFIG.hands, seed=0)
    frames = read_frames(clip, sampling=FrameSampling(stride=1), size=CONFIG.hands.source_size, fit="stretch")
    crops = torch.from_numpy(crop_hands(frames, boxes, size=16)).permute(0, 3, 1, 2)
    with torch.no_grad():
        left, right = (inner.unit_features(crops[:, :, :16, part]) for part in (slice(16), slice(16, 32)))
    expected = torch.cat([left, right], dim=1).half().numpy()
    np.testing.assert_allclose(cache[0], expected, atol=2e-3)
    crop = cache.provenance.preprocessing["crop"]
    assert (crop["part"], crop["margin"]) == ("hands", 1.2)
    assert "fit" not in cache.provenance.preprocessing


@pytest.mark.parametrize(
    "hands", [{"margin": 2.0}, {"threshold": 0.7}, {"share": 0.4}, {"source_size": 64}, None]
)
def test_every_setting_of_crops_changes_features(
    posed: Manifest, run_extract: Any, tmp_path: Path, hands: dict[str, Any] | None
) -> None:
    posed = replace(posed, samples=tuple(posed.split("dev")))
    base = CONFIG if hands else replace(CONFIG, hands=replace(CONFIG.hands, share=0.4))
    other = replace(base, hands=replace(base.hands, **hands)) if hands else replace(base, seed=1)
    timm = load_source(ckpt=None, encoder="timm:test_resnet", config=base)  # the same weights for both seeds
    found = []
    for number, config in enumerate((base, other)):
        made = load_source(ckpt=None, encoder="timm:test_resnet", config=config) if hands else timm
        out = tmp_path / str(number)
        run_extract(manifest=posed, encoder=made[0], fingerprint=made[1], out=out, config=config)
        found.append(FeatureCache(out, "dev"))
    assert any(not np.array_equal(found[0][clip], found[1][clip]) for clip in range(2))
    assert found[0].provenance.preprocessing != found[1].provenance.preprocessing


def test_the_command_writes_a_cache_beside_that_of_the_pictures(posed: Manifest, tmp_path: Path) -> None:
    path = tmp_path / "manifest.jsonl"
    write_manifest(path, replace(posed, samples=tuple(posed.split("dev"))))
    given = ["extract", "--encoder", "timm:test_resnet", "--manifest", str(path), "--device", "cpu", "--json"]
    settings = ["timm.pretrained=false", "timm.image_size=16", "timm.frame_stride=1", "workers=0"]
    given += [part for setting in settings for part in ("--set", setting)]
    for name, crop in (("pictures", []), ("hands", ["--crop", "hands"])):
        result = CliRunner().invoke(
            fla, [*given, *crop, "--out", str(tmp_path / name)], catch_exceptions=False
        )
        assert (result.exit_code, json.loads(result.stdout)["rejected"]) == (0, [])
    pictures, hands = (FeatureCache(tmp_path / name, "dev") for name in ("pictures", "hands"))
    assert hands.provenance.feature_size == 2 * pictures.provenance.feature_size
    assert hands.num_steps.tolist() == pictures.num_steps.tolist()
    assert hands.fingerprint != pictures.fingerprint


def test_what_crops_cannot_have_is_refused() -> None:
    with pytest.raises(
        ConfigError, match="views must be 0 and keep_partial false where crop is hands, but are 2"
    ):
        ExtractConfig(crop="hands", views=2)
    with pytest.raises(ConfigError, match="but are 0 and true"):
        ExtractConfig(crop="hands", keep_partial=True)
    with pytest.raises(ConfigError, match="must have an encoder of single pictures"):
        load_source(ckpt=None, encoder="poses", config=CONFIG)
