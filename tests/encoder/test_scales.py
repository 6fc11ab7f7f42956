"""Frames at several scales, in tiles."""

import numpy as np
import pytest
import torch
import torch.nn.functional as F

from fla_llm.encoder.encode import encode
from fla_llm.encoder.scales import multi_scale
from fla_llm.encoder.store import fingerprint_of, load_encoder, save_encoder
from fla_llm.encoder.timm_source import timm_encoder


@pytest.fixture
def pixels(frames: np.ndarray) -> torch.Tensor:
    return torch.from_numpy(frames[:3]).permute(0, 3, 1, 2)


def scaled(make_encoder, *scales: int, side: int = 16, **settings):
    return make_encoder(
        image_size=side * scales[-1], resize_size=40, scales=scales, temporal=False, **settings
    )


def test_features_of_a_scale_are_the_mean_of_its_tiles(make_encoder, pixels: torch.Tensor) -> None:
    encoder = scaled(make_encoder, 1, 2)
    frames = pixels[..., 4:36, 4:36]
    assert encoder.frame_size == 2 * encoder.backbone.feature_size
    whole, tiled = encoder.frame_features(frames).chunk(2, dim=1)
    seen = (frames.float() / 255 - encoder.mean) / encoder.std
    small = F.interpolate(seen, size=(16, 16), mode="bilinear", antialias=True)
    torch.testing.assert_close(whole, encoder.backbone(small))
    tiles = [seen[..., y : y + 16, x : x + 16] for y in (0, 16) for x in (0, 16)]
    torch.testing.assert_close(tiled, sum(encoder.backbone(tile) for tile in tiles) / 4)


def test_scale_one_alone_is_the_frame_as_it_is(make_encoder, pixels: torch.Tensor) -> None:
    frames = pixels[..., 4:36, 4:36]
    plain = make_encoder(image_size=32, resize_size=40, temporal=False)
    single = scaled(make_encoder, 1, side=32)
    assert torch.equal(single.frame_features(frames), plain.frame_features(frames))


def test_the_largest_scale_need_not_be_a_multiple_of_the_others() -> None:
    seen = []

    def see(tile: torch.Tensor) -> torch.Tensor:
        seen.append(tile)
        return tile.mean((2, 3))

    pixels = torch.rand(2, 3, 12, 12, generator=torch.Generator().manual_seed(0))
    features = multi_scale(see, pixels, scales=(2, 3), tile_size=4)
    assert [tuple(tile.shape) for tile in seen] == [(2, 3, 4, 4)] * (4 + 9)
    torch.testing.assert_close(features[:, 3:], pixels.mean((2, 3)))
    assert features.shape == (2, 6)


def test_company_changes_no_bit(make_encoder, frames: np.ndarray) -> None:
    encoder = scaled(make_encoder, 1, 2)
    how = {"frame_batch": 4, "level": "frame", "device": torch.device("cpu"), "dtype": torch.float32}
    clips = [("a", frames[:3]), ("b", frames[3:9])]
    together = dict(encode(encoder, clips, **how))
    for key, clip in clips:
        (alone,) = (features for _, features in encode(encoder, [(key, clip)], **how))
        np.testing.assert_array_equal(alone, together[key])


def test_a_scaled_encoder_survives_being_written(make_encoder, tmp_path) -> None:
    encoder = scaled(make_encoder, 1, 2)
    save_encoder(encoder, tmp_path)
    loaded = load_encoder(tmp_path)
    assert loaded.config == encoder.config
    assert fingerprint_of(loaded) == fingerprint_of(encoder)
    assert fingerprint_of(scaled(make_encoder, 2)) != fingerprint_of(scaled(make_encoder, 1, 2))


def test_an_encoder_without_scales_is_described_as_before_there_were_any(make_encoder) -> None:
    assert "scales" not in make_encoder().settings
    assert scaled(make_encoder, 1, 2).settings["scales"] == [1, 2]


def test_a_timm_backbone_reads_frames_at_the_largest_scale() -> None:
    one = timm_encoder("test_vit", image_size=32, pretrained=False)
    two = timm_encoder("test_vit", image_size=32, pretrained=False, scales=(1, 2))
    assert (two.config.image_size, two.config.resize_size) == (64, 2 * one.config.resize_size)
    assert two.config.tile_size == one.config.tile_size == 32
    assert two.frame_size == 2 * one.frame_size
    assert timm_encoder("test_vit", image_size=32, pretrained=False, scales=(1,)).config == one.config
