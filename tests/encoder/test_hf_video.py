"""Clip encoders of transformers', tiny ones with random weights, from directories."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from transformers import (
    BertConfig,
    BertModel,
    TimesformerConfig,
    TimesformerModel,
    VideoMAEConfig,
    VideoMAEForPreTraining,
    VideoMAEImageProcessor,
    VideoMAEModel,
    VivitConfig,
    VivitModel,
)

from fla_llm.core.errors import ConfigError, ModelError
from fla_llm.encoder.clip_encoder import ClipEncoderConfig
from fla_llm.encoder.encode import encode
from fla_llm.encoder.hf_video import hf_video_encoder
from fla_llm.encoder.store import fingerprint_of
from fla_llm.video import FrameSampling

SMALL: dict[str, Any] = {
    "image_size": 32, "num_frames": 4, "hidden_size": 16, "num_hidden_layers": 2, "num_attention_heads": 2,
    "intermediate_size": 32,
}  # fmt: skip
PREPARED = {
    "image_mean": [0.4, 0.5, 0.6], "image_std": [0.2, 0.25, 0.5], "size": {"shortest_edge": 32},
    "crop_size": {"height": 32, "width": 32},
}  # fmt: skip
MODELS: dict[str, Callable[[], Any]] = {
    "videomae": lambda: VideoMAEModel(VideoMAEConfig(**SMALL, tubelet_size=2)),
    "vivit": lambda: VivitModel(VivitConfig(**SMALL, tubelet_size=[2, 16, 16])),
    "timesformer": lambda: TimesformerModel(TimesformerConfig(**SMALL, patch_size=16)),
}


def save(folder: Path, kind: str = "videomae", *, prepared: dict[str, Any] | None = PREPARED) -> Any:
    torch.manual_seed(0)
    model = MODELS[kind]().eval()
    model.save_pretrained(folder)
    if prepared is not None:
        (folder / "preprocessor_config.json").write_text(json.dumps(prepared))
    return model


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    save(tmp_path / "videomae-tiny")
    return tmp_path / "videomae-tiny"


def run(encoder: Any, clips: list[tuple[str, np.ndarray]], **settings: Any) -> dict[str, np.ndarray]:
    how: dict[str, Any] = {
        "frame_batch": 12, "level": "frame", "device": torch.device("cpu"), "dtype": torch.float32,
    }  # fmt: skip
    return dict(encode(encoder, clips, **how | settings))


@pytest.fixture
def clips(frames: np.ndarray) -> list[tuple[str, np.ndarray]]:
    middle = frames[:, 4:36, 4:36]
    return [("short", middle[:2]), ("long", middle[2:13]), ("exact", middle[13:17])]


def test_a_window_is_what_the_model_makes_of_the_processors_pixels(folder: Path, clips) -> None:
    model = VideoMAEModel.from_pretrained(folder).eval()
    processor = VideoMAEImageProcessor.from_pretrained(folder)
    encoded = run(hf_video_encoder(str(folder), window_stride=3), clips)
    frames = list(clips[1][1])
    windows = [frames[start : start + 4] for start in (0, 3, 6)] + [frames[9:11] + [frames[10]] * 2]
    pixels = processor(windows, return_tensors="pt")["pixel_values"]
    with torch.no_grad():
        expected = model(pixels).last_hidden_state.mean(1)
    np.testing.assert_allclose(encoded["long"], expected.numpy(), rtol=2e-3, atol=2e-4)
    assert [len(encoded[key]) for key in ("short", "exact")] == [1, 1]


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
@pytest.mark.parametrize("kind", list(MODELS))
def test_company_and_place_change_no_bit(tmp_path: Path, clips, kind: str, dtype: torch.dtype) -> None:
    save(tmp_path, kind)
    encoder = hf_video_encoder(str(tmp_path), window_stride=2)
    together = run(encoder, clips, dtype=dtype)
    for clip in clips:
        assert np.array_equal(run(encoder, [clip], dtype=dtype)[clip[0]], together[clip[0]])
    rest = run(encoder, clips[1:], dtype=dtype, filled=encoder.windows.count(len(clips[0][1])) % 3)
    assert all(np.array_equal(rest[key], together[key]) for key in rest)


@pytest.mark.parametrize("kind", ["vivit", "timesformer"])
def test_a_class_token_stands_apart_from_the_others(tmp_path: Path, clips, kind: str) -> None:
    model = save(tmp_path, kind)
    pixels = torch.from_numpy(clips[2][1]).permute(0, 3, 1, 2)[None]
    features = {
        pool: run(hf_video_encoder(str(tmp_path), pool=pool), clips)["exact"] for pool in ("token", "mean")
    }
    encoder = hf_video_encoder(str(tmp_path))
    with torch.no_grad():
        tokens = model((pixels / 255 - encoder.mean) / encoder.std).last_hidden_state[0]
    np.testing.assert_allclose(features["token"][0], tokens[0], rtol=2e-3, atol=2e-4)
    np.testing.assert_allclose(features["mean"][0], tokens[1:].mean(0), rtol=2e-3, atol=2e-4)


def test_a_class_token_that_is_not_there_is_refused(folder: Path) -> None:
    with pytest.raises(
        ModelError, match="pool must be mean for videomae-tiny: a videomae has no class token"
    ):
        hf_video_encoder(str(folder), pool="token")


def test_the_directory_says_how_pictures_are_prepared(folder: Path) -> None:
    config = hf_video_encoder(str(folder)).config
    assert (config.image_size, config.resize_size, config.fit) == (32, 32, "crop")
    assert config.mean == pytest.approx((0.4, 0.5, 0.6))
    assert config.std == pytest.approx((0.2, 0.25, 0.5))
    larger = PREPARED | {"size": {"height": 40, "width": 40}, "do_normalize": False}
    (folder / "preprocessor_config.json").write_text(json.dumps(larger))
    config = hf_video_encoder(str(folder)).config
    assert (config.image_size, config.resize_size, config.fit) == (32, 40, "stretch")
    assert (config.mean, config.std) == (pytest.approx((0, 0, 0)), pytest.approx((1, 1, 1)))


def test_where_it_does_not_say_colours_are_imagenets(tmp_path: Path, capsys) -> None:
    save(tmp_path, prepared=None)
    config = hf_video_encoder(str(tmp_path)).config
    assert (config.mean, config.resize_size) == (pytest.approx((0.485, 0.456, 0.406)), 32)
    assert "has no preprocessor_config.json" in capsys.readouterr().err


def test_vivits_own_scaling_is_followed(tmp_path: Path) -> None:
    """It maps colours to -1..1 before it normalises them: (x / 127.5 - 1 - 0.5) / 0.5."""
    save(
        tmp_path,
        "vivit",
        prepared={"image_mean": [0.5] * 3, "image_std": [0.5] * 3, "rescale_factor": 1 / 127.5},
    )
    config = hf_video_encoder(str(tmp_path)).config
    black, white = ((np.array([0.0, 1.0]) - config.mean[0]) / config.std[0]).tolist()
    assert (black, white) == (pytest.approx(-3), pytest.approx(1))


def test_settings_say_what_the_encoder_was(folder: Path) -> None:
    encoder = hf_video_encoder(str(folder), window_stride=3, sampling=FrameSampling(stride=2))
    assert json.loads(json.dumps(encoder.settings)) == encoder.settings
    assert encoder.settings["source"] == "hf-video"
    assert encoder.settings["name"] == "videomae-tiny"
    assert encoder.settings["architecture"]["model_type"] == "videomae"
    assert encoder.settings["architecture"]["num_hidden_layers"] == 2
    assert (encoder.settings["window_frames"], encoder.settings["window_stride"]) == (4, 3)
    assert encoder.config.sampling.stride * encoder.windows.stride == 6
    assert str(folder.parent) not in json.dumps(encoder.settings)


def test_the_fingerprint_sees_every_setting_and_weight(folder: Path) -> None:
    encoder = hf_video_encoder(str(folder))
    again, other = hf_video_encoder(str(folder)), hf_video_encoder(str(folder), window_stride=1)
    assert fingerprint_of(encoder) == fingerprint_of(again)
    next(again.model.parameters()).data[0] += 1e-3
    assert len({fingerprint_of(model) for model in (encoder, again, other)}) == 3


def test_it_is_frozen_and_half_a_window_is_its_stride(folder: Path) -> None:
    encoder = hf_video_encoder(str(folder))
    assert not encoder.training
    assert not any(parameter.requires_grad for parameter in encoder.parameters())
    assert encoder.config.window_stride == 2


def test_vivits_pooler_which_trained_models_lack_is_left_out(tmp_path: Path) -> None:
    torch.manual_seed(0)
    VivitModel(VivitConfig(**SMALL, tubelet_size=[2, 16, 16]), add_pooling_layer=False).save_pretrained(
        tmp_path
    )
    prints = {fingerprint_of(hf_video_encoder(str(tmp_path))) for _ in range(2)}
    assert len(prints) == 1


def test_a_pretraining_models_decoder_is_left_out(tmp_path: Path) -> None:
    decoder = {"decoder_hidden_size": 8, "decoder_num_hidden_layers": 1, "decoder_num_attention_heads": 2}
    model = VideoMAEForPreTraining(VideoMAEConfig(**SMALL, **decoder, decoder_intermediate_size=8))
    model.save_pretrained(tmp_path)
    encoder = hf_video_encoder(str(tmp_path))
    for name, value in model.videomae.state_dict().items():
        assert torch.equal(encoder.model.state_dict()[name], value)


def test_weights_with_a_part_missing_are_refused(folder: Path) -> None:
    """transformers itself would leave it random."""
    import safetensors.torch

    weights = safetensors.torch.load_file(folder / "model.safetensors")
    del weights["encoder.layer.1.output.dense.weight"]
    safetensors.torch.save_file(weights, folder / "model.safetensors", metadata={"format": "pt"})
    with pytest.raises(ModelError, match=r"lacks 1 tensor \(encoder.layer.1.output.dense.weight\)"):
        hf_video_encoder(str(folder))


def test_pickled_weights_are_refused(folder: Path) -> None:
    (folder / "model.safetensors").unlink()
    (folder / "pytorch_model.bin").write_bytes(b"not even a pickle")
    with pytest.raises(ModelError, match="videomae-tiny cannot be loaded: .*model.safetensors"):
        hf_video_encoder(str(folder))


def test_a_model_of_another_kind_is_refused(tmp_path: Path) -> None:
    small = {"hidden_size": 8, "num_hidden_layers": 1, "num_attention_heads": 1, "intermediate_size": 8}
    BertModel(BertConfig(**small, vocab_size=5)).save_pretrained(tmp_path)
    with pytest.raises(ModelError, match="of kind videomae, vivit, timesformer, but is of kind bert"):
        hf_video_encoder(str(tmp_path))


def test_pictures_that_are_no_squares_are_refused(folder: Path) -> None:
    content = json.loads((folder / "config.json").read_text())
    (folder / "config.json").write_text(json.dumps(content | {"image_size": [32, 48]}))
    with pytest.raises(ModelError, match=r"must see squares, but sees .32, 48."):
        hf_video_encoder(str(folder))


def test_what_is_not_there_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(ModelError, match="hf-video:.*nowhere: there is no such directory"):
        hf_video_encoder(str(tmp_path / "nowhere"))
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(tmp_path))
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", False)
    with pytest.raises(ModelError, match="hf-video:nobody/videomae is not on this disk, and the settings"):
        hf_video_encoder("nobody/videomae", fetch=False)
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)
    with pytest.raises(ModelError, match="hf-video:nobody/videomae is not on this disk, and HF_HUB_OFFLINE"):
        hf_video_encoder("nobody/videomae")


def test_faulty_settings_are_refused(folder: Path) -> None:
    with pytest.raises(ConfigError, match="window_stride must lie in 1..4, but is 5"):
        hf_video_encoder(str(folder), window_stride=5)
    with pytest.raises(ConfigError, match=r"resize_size must be at least image_size \(224\), but is 9"):
        ClipEncoderConfig(name="a", window_frames=4, window_stride=2, resize_size=9)


def test_level_sign_and_batches_below_a_window_are_refused(folder: Path, clips) -> None:
    encoder = hf_video_encoder(str(folder))
    with pytest.raises(ModelError, match="must be frame, but is sign: encoder videomae-tiny has no temporal"):
        run(encoder, clips, level="sign")
    with pytest.raises(
        ConfigError, match="frame_batch must be at least 4, the frames of one window, but is 3"
    ):
        run(encoder, clips, frame_batch=3)


@pytest.mark.cuda
def test_on_cuda_company_changes_no_bit(folder: Path, clips) -> None:
    encoder, cuda = hf_video_encoder(str(folder), window_stride=2), torch.device("cuda")
    together = run(encoder, clips, device=cuda)
    again = run(encoder, clips, device=cuda)
    assert all(np.array_equal(again[key], together[key]) for key in together)
