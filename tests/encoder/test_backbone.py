from functools import partial

import pytest
import timm
import torch
import torch.nn.functional as F

from fla_llm.core.errors import ModelError


def pixels(side: int = 32) -> torch.Tensor:
    return torch.randn(2, 3, side, side, generator=torch.Generator().manual_seed(1))


@pytest.mark.parametrize("name", ["test_resnet", "test_convnext", "test_efficientnet", "test_vit"])
def test_avg_is_timms_own_pooling(make_encoder, name: str) -> None:
    backbone = make_encoder(backbone=name).backbone
    own = backbone.net.forward_head(backbone.net.forward_features(pixels()), pre_logits=True)
    torch.testing.assert_close(backbone(pixels()), own, rtol=0, atol=0)


@pytest.mark.parametrize("name", ["test_resnet", "test_efficientnet"])
def test_grid_of_the_maps_own_size_is_the_map(make_encoder, name: str) -> None:
    backbone = make_encoder(backbone=name, image_size=64, resize_size=64, pool="grid-2").backbone
    torch.testing.assert_close(backbone(pixels(64)), backbone.net.forward_features(pixels(64)).flatten(1))


def test_grid_keeps_where_a_hand_is(make_encoder) -> None:
    encoder = make_encoder(image_size=64, resize_size=64, pool="grid-2")
    left = torch.zeros(1, 3, 64, 64, dtype=torch.uint8)
    left[..., 20:40, 4:20] = 255
    cells = encoder.frame_features(left).unflatten(1, (-1, 2, 2))
    change = (cells - encoder.frame_features(torch.zeros_like(left)).unflatten(1, (-1, 2, 2))).abs().sum(1)[0]
    assert change[:, 0].sum() > 2 * change[:, 1].sum()


def test_map_with_channels_last_is_read_right(make_encoder) -> None:
    """Swin gives (N, h, w, C)."""
    encoder = make_encoder(
        backbone="swin_tiny_patch4_window7_224", image_size=64, resize_size=64, pool="grid-2"
    )
    features = encoder.backbone.net.forward_features(pixels(64))
    assert features.shape[-1] == encoder.backbone.net.num_features
    torch.testing.assert_close(encoder.backbone(pixels(64)), features.permute(0, 3, 1, 2).flatten(1))


def test_patch_tokens_are_laid_out_as_a_map(make_encoder) -> None:
    backbone = make_encoder(backbone="test_vit", pool="grid-1").backbone
    tokens = backbone.net.forward_features(pixels())[:, backbone.net.num_prefix_tokens :]
    torch.testing.assert_close(backbone(pixels()), tokens.mean(1))
    grid = make_encoder(backbone="test_vit", pool="grid-2").backbone
    rows = grid.net.forward_features(pixels())[:, grid.net.num_prefix_tokens :]
    torch.testing.assert_close(grid(pixels()).unflatten(1, (-1, 2, 2))[..., 0, 1], rows[:, 1])


def test_output_stride_makes_a_finer_map(make_encoder) -> None:
    assert make_encoder(pool="grid-2", output_stride=16).frame_size == 4 * 96
    features = make_encoder(output_stride=8).backbone.net.forward_features(pixels())
    assert features.shape[-2:] == (4, 4)


def test_trial_run_leaves_statistics_and_mode_alone(make_encoder) -> None:
    backbone = make_encoder().train().backbone
    assert backbone.net.training
    statistics = [value for name, value in backbone.state_dict().items() if name.endswith("running_mean")]
    assert statistics
    assert all(not value.any() for value in statistics)


def test_normalisation_is_over_channels(make_encoder) -> None:
    encoder = make_encoder(mean=(0.0, 0.5, 1.0), std=(1.0, 0.5, 0.25))
    seen = []
    encoder.backbone.register_forward_pre_hook(lambda _, inputs: seen.append(inputs[0]))
    encoder.frame_features(torch.full((1, 3, 32, 32), 255, dtype=torch.uint8))
    torch.testing.assert_close(seen[0][0, :, 0, 0], torch.tensor([1.0, 1.0, 0.0]))


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"backbone": "resnt18"}, "must be a timm model, but is 'resnt18'. Did you mean 'resnet18'?"),
        (
            {"backbone": "resnet18.a1_in2k"},
            "timm has no weights 'resnet18.a1_in2k'. Did you mean 'resnet18.a1_in1k'",
        ),
        ({"backbone": "test_vit", "output_stride": 8}, "test_vit cannot be built with .*output_stride"),
        ({"backbone": "resnet10t", "output_stride": 4}, "resnet10t cannot be built with .*output_stride.: 4"),
        (
            {"pool": "grid-3"},
            "grid-3 needs a map of 3 x 3 or more, but backbone test_resnet gives 1 x 1 at 32",
        ),
        ({"backbone": "test_vit", "image_size": 8}, "test_vit cannot see pictures of 8 pixels: .*patch size"),
        (
            {"backbone": "coat_tiny", "image_size": 64, "resize_size": 64, "pool": "grid-2"},
            "pool must be avg for backbone coat_tiny: its features .a list. are no map",
        ),
    ],
)
def test_what_a_backbone_cannot_do_is_refused(make_encoder, settings: dict, message: str) -> None:
    with pytest.raises(ModelError, match=message):
        make_encoder(**settings)


def test_weights_out_of_reach_are_refused(make_encoder, monkeypatch: pytest.MonkeyPatch, tmp_path) -> None:
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(tmp_path))
    refused = "backbone test_resnet is not on this disk, and HF_HUB_OFFLINE .*\n.*encoder.pretrained=f"
    with pytest.raises(ModelError, match=refused):
        make_encoder(pretrained=True)


def test_gradients_reach_the_first_layer(make_encoder) -> None:
    encoder = make_encoder().train()
    F.mse_loss(encoder.backbone(pixels(64)), torch.zeros(2, encoder.frame_size)).backward()
    first = next(encoder.backbone.net.parameters())
    assert first.grad is not None
    assert first.grad.abs().sum() > 0


def test_token_is_the_class_token(make_encoder) -> None:
    backbone = make_encoder(backbone="test_vit", pool="token").backbone
    torch.testing.assert_close(backbone(pixels()), backbone.net.forward_features(pixels())[:, 0])


@pytest.mark.parametrize("name", ["test_vit", "test_vit2", "test_vit3"])
def test_mean_is_that_of_the_patches_alone(make_encoder, name: str) -> None:
    """Behind a class token, a register, and a register under attention pooling as SigLIP has it."""
    backbone = make_encoder(backbone=name, pool="mean").backbone
    assert backbone.net.num_prefix_tokens == 1
    tokens = backbone.net.forward_features(pixels())
    assert tokens.shape[1] == 1 + 4
    torch.testing.assert_close(backbone(pixels()), tokens[:, 1:].mean(1))


def test_registers_are_neither_class_token_nor_patches(make_encoder, monkeypatch) -> None:
    """DINOv2's four registers; one of its twelve layers is enough to see that."""
    monkeypatch.setattr(timm, "create_model", partial(timm.create_model, depth=1))
    backbone = make_encoder(backbone="vit_small_patch14_reg4_dinov2", image_size=28, pool="mean").backbone
    assert backbone.net.num_prefix_tokens == 5
    tokens = backbone.net.forward_features(pixels(28))
    torch.testing.assert_close(backbone(pixels(28)), tokens[:, 5:].mean(1))
    backbone.pool = "token"
    torch.testing.assert_close(backbone(pixels(28)), tokens[:, 0])


@pytest.mark.parametrize("name", ["test_resnet", "test_convnext"])
def test_mean_of_a_map_is_that_of_its_cells(make_encoder, name: str) -> None:
    backbone = make_encoder(backbone=name, image_size=64, resize_size=64, pool="mean").backbone
    features = backbone.net.forward_features(pixels(64))
    assert features.shape[-2:] == (2, 2)
    torch.testing.assert_close(backbone(pixels(64)), features.mean((2, 3)))


@pytest.mark.parametrize("name", ["test_resnet", "test_convnext", "test_vit3"])
def test_a_class_token_that_is_not_there_is_refused(make_encoder, name: str) -> None:
    with pytest.raises(
        ModelError, match=f"pool must be avg or mean for backbone {name}: it has no class token"
    ):
        make_encoder(backbone=name, pool="token")
