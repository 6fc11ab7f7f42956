"""Which encoder an extraction uses, and that its cache says what it was."""

import json
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from click.testing import CliRunner, Result
from transformers import VideoMAEConfig, VideoMAEModel

from fla_llm.cache.reader import FeatureCache
from fla_llm.cache.writer import ShardWriter
from fla_llm.cli import fla
from fla_llm.core.errors import ConfigError, ModelError
from fla_llm.corpora.manifest import Manifest, write_manifest
from fla_llm.encoder.encode import encode
from fla_llm.extract.config import ExtractConfig, HfVideoConfig, TimmConfig
from fla_llm.extract.source import load_source
from fla_llm.video.frames import read_frames

CONFIG = ExtractConfig(frame_batch=8, workers=0, precision="fp32")


@pytest.fixture(scope="module")
def videomae(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("models") / "videomae-tiny"
    torch.manual_seed(0)
    config = VideoMAEConfig(
        image_size=32, num_frames=4, hidden_size=16, num_hidden_layers=2, num_attention_heads=2,
        intermediate_size=32,
    )  # fmt: skip
    VideoMAEModel(config).save_pretrained(folder)
    prepared = {"size": {"shortest_edge": 36}, "image_mean": [0.5] * 3, "image_std": [0.5] * 3}
    (folder / "preprocessor_config.json").write_text(json.dumps(prepared))
    return folder


@pytest.fixture
def invoke(tmp_path: Path, manifest: Manifest) -> Any:
    write_manifest(tmp_path / "manifest.jsonl", manifest)

    def invoke(*args: str) -> Result:
        given = ["--manifest", str(tmp_path / "manifest.jsonl"), "--out", str(tmp_path / "cache"), "--json"]
        given += ["--set", "workers=0", "--device", "cpu", "--split", "dev"]
        return CliRunner().invoke(fla, ["extract", *given, *args])

    return invoke


def test_cached_features_of_windows_are_live_features(
    run_extract: Any, manifest: Manifest, tmp_path: Path, videomae: Path
) -> None:
    config = replace(CONFIG, hf_video=HfVideoConfig(window_stride=3))
    encoder, fingerprint = load_source(ckpt=None, encoder=f"hf-video:{videomae}", config=config)
    run_extract(encoder=encoder, fingerprint=fingerprint, config=config)
    how = encoder.config
    read = partial(read_frames, sampling=how.sampling, size=how.resize_size, fit=how.fit)
    clips = ((sample.id, read(manifest.clip(sample))) for sample in manifest.split("train"))
    device = torch.device("cpu")
    cache = FeatureCache(tmp_path / "cache", "train")
    live = encode(encoder, clips, frame_batch=8, level="frame", device=device, dtype=torch.float32)
    for index, (key, features) in enumerate(live):
        assert cache.rows[index].id == key
        np.testing.assert_array_equal(cache[index], features)
    assert cache.num_steps.tolist() == [3, 1, 5, 1, 2, 4]  # of 9, 4, 14, 1, 7 and 12 frames
    assert cache.provenance.step_seconds == 3 / 25


def test_an_extraction_of_windows_goes_on_where_it_was_ended(
    run_extract: Any, tmp_path: Path, videomae: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    encoder, fingerprint = load_source(ckpt=None, encoder=f"hf-video:{videomae}", config=CONFIG)
    work = partial(run_extract, encoder=encoder, fingerprint=fingerprint, config=CONFIG, splits=("train",))
    work(out=tmp_path / "whole")
    append, written = ShardWriter.append, []

    def append_three(*args: Any) -> None:
        written.append(args)
        if len(written) == 4:
            raise KeyboardInterrupt
        append(*args)

    with monkeypatch.context() as patched:
        patched.setattr(ShardWriter, "append", append_three)
        with pytest.raises(KeyboardInterrupt):
            work(out=tmp_path / "ended")
    assert work(out=tmp_path / "ended").clips == 3
    whole, ended = (tmp_path / name / "train-0-of-1.h5" for name in ("whole", "ended"))
    assert ended.read_bytes() == whole.read_bytes()


def test_the_cache_says_which_clip_encoder_it_was(invoke: Any, tmp_path: Path, videomae: Path) -> None:
    settings = ["--set", "hf_video.window_stride=1", "--set", "hf_video.frame_stride=2"]
    assert invoke("--encoder", f"hf-video:{videomae}", *settings).exit_code == 0
    made_by = FeatureCache(tmp_path / "cache", "dev").provenance
    assert made_by.encoder_config["source"] == "hf-video"
    assert made_by.encoder_config["name"] == "videomae-tiny"
    assert made_by.encoder_config["architecture"]["num_hidden_layers"] == 2
    assert (made_by.encoder_config["window_frames"], made_by.encoder_config["window_stride"]) == (4, 1)
    assert (made_by.level, made_by.feature_size, made_by.step_seconds) == ("frame", 16, 2 / 25)
    assert (made_by.preprocessing["resize_size"], made_by.preprocessing["image_size"]) == (36, 32)


def test_a_timm_backbone_sees_several_scales(invoke: Any, tmp_path: Path) -> None:
    settings = ["--set", "timm.pretrained=false", "--set", "timm.image_size=16", "--set", "timm.pool=mean"]
    settings += ["--set", "timm.frame_stride=2"]
    assert invoke("--encoder", "timm:test_resnet", "--scales", "1,2", *settings).exit_code == 0
    made_by = FeatureCache(tmp_path / "cache", "dev").provenance
    assert made_by.feature_size == 2 * 96
    assert made_by.encoder_config["scales"] == [1, 2]
    assert made_by.encoder_config["pool"] == "mean"
    assert made_by.preprocessing["image_size"] == 32
    assert made_by.step_seconds == 2 / 25


def test_weights_from_the_disk_are_those_of_the_source(tmp_path: Path) -> None:
    import safetensors.torch
    import timm

    safetensors.torch.save_model(timm.create_model("test_resnet"), str(tmp_path / "mine.safetensors"))
    config = ExtractConfig(timm=TimmConfig(weights=str(tmp_path / "mine.safetensors")))
    encoder, fingerprint = load_source(ckpt=None, encoder="timm:test_resnet", config=config)
    kept = safetensors.torch.load_file(tmp_path / "mine.safetensors")
    assert all(
        torch.equal(value, kept[name.removeprefix("backbone.net.")])
        for name, value in encoder.state_dict().items()
    )
    assert fingerprint == load_source(ckpt=None, encoder="timm:test_resnet", config=config)[1]
    assert fingerprint != load_source(ckpt=None, encoder="timm:test_resnet", config=replace(
        config, timm=TimmConfig(pretrained=False)))[1]  # fmt: skip


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ("resnet18", "must be timm:NAME, hf-video:NAME, hf-text:NAME or poses, but is 'resnet18'"),
        ("tim:resnet18", "Did you mean 'timm'"),
        ("hf-vidio:videomae", "Did you mean 'hf-video'"),
        ("timm:", "but is 'timm:'"),
        ("timm:resnet81", "must be a timm model, but is 'resnet81'. Did you mean 'resnet"),
    ],
)
def test_sources_that_are_none_are_refused(given: str, message: str) -> None:
    with pytest.raises(ModelError, match=message):
        load_source(ckpt=None, encoder=given, config=CONFIG)


def test_a_directory_in_place_of_timms_name_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ModelError, match=r"is a directory.\n.*--set timm.weights="):
        load_source(ckpt=None, encoder=f"timm:{tmp_path}", config=CONFIG)


def test_weights_that_are_named_and_not_wanted_are_refused() -> None:
    with pytest.raises(ConfigError, match="pretrained must be true where weights are named, but is false"):
        TimmConfig(pretrained=False, weights="here.safetensors")


@pytest.mark.parametrize(
    ("args", "message"),
    [
        (
            ["--encoder", "timm:resnet18", "--scales", "1;2"],
            "must be whole numbers such as 1,2, but is '1;2'",
        ),
        (["--encoder", "hf-video:videomae", "--scales", "1,2"], "--scales is for --encoder timm:NAME alone"),
    ],
)
def test_scales_that_cannot_be_give_exit_code_2(invoke: Any, args: list[str], message: str) -> None:
    result = invoke(*args)
    assert result.exit_code == 2
    assert message in result.stderr
