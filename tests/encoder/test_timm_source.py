"""timm's backbones as they are, and their weights from the disk."""

import json
import re
import shutil
from pathlib import Path

import pytest
import safetensors.torch
import timm
import torch

from fla_llm.core.errors import ModelError
from fla_llm.encoder.store import fingerprint_of
from fla_llm.encoder.timm_source import timm_encoder
from fla_llm.video import FrameSampling

NAME = "test_vit"


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A model with classifier, as timm's hub layout has it."""
    folder = tmp_path_factory.mktemp("hub") / "test_vit.mine"
    torch.manual_seed(3)
    model = timm.create_model(NAME)
    timm.models.save_for_hf(model, folder, safe_serialization=True)
    return folder


def test_timm_backbone_is_frozen_and_prepared_as_it_was_trained() -> None:
    encoder = timm_encoder("test_vit.r160_in1k", pretrained=False)
    assert not encoder.training
    assert not any(parameter.requires_grad for parameter in encoder.parameters())
    config = encoder.config
    assert (config.temporal, config.image_size, config.resize_size) == (False, 160, round(160 / 0.95))
    assert config.mean == (0.5, 0.5, 0.5)


def test_timm_backbone_at_another_size() -> None:
    config = timm_encoder("test_resnet", image_size=64, pretrained=False).config
    assert (config.image_size, config.resize_size) == (64, round(64 / 0.95))


def test_which_frames_are_looked_at_can_be_said() -> None:
    sampling = FrameSampling(stride=1, max_frames=7)
    assert timm_encoder("test_resnet", pretrained=False, sampling=sampling).config.sampling == sampling


def test_unknown_timm_backbone_is_refused() -> None:
    with pytest.raises(
        ModelError, match="must be a timm model, but is 'test_resnt'. Did you mean 'test_resnet'"
    ):
        timm_encoder("test_resnt")


def test_weights_of_a_directory_and_of_its_file_are_the_models(trained: Path) -> None:
    weights = safetensors.torch.load_file(trained / "model.safetensors")
    of_folder = timm_encoder(NAME, weights=trained)
    net = of_folder.backbone.net.state_dict()
    assert "head.weight" in weights
    assert "head.weight" not in net
    assert all(torch.equal(value, weights[name]) for name, value in net.items())
    assert not of_folder.training
    assert not any(parameter.requires_grad for parameter in of_folder.parameters())
    of_file = timm_encoder(NAME, weights=trained / "model.safetensors")
    assert fingerprint_of(of_file) == fingerprint_of(of_folder)
    assert of_folder.config.pretrained


def test_weights_are_fitted_to_another_picture_size(trained: Path) -> None:
    assert timm_encoder(NAME, weights=trained, image_size=32).frame_size == 64


def test_a_directory_says_how_its_pictures_were_prepared(trained: Path, tmp_path: Path) -> None:
    folder = shutil.copytree(trained, tmp_path / "other")
    content = json.loads((folder / "config.json").read_text())
    content["pretrained_cfg"] |= {"mean": [0.1, 0.2, 0.3], "crop_pct": 0.5, "input_size": [3, 64, 64]}
    (folder / "config.json").write_text(json.dumps(content))
    config = timm_encoder(NAME, weights=folder).config
    assert (config.mean, config.image_size, config.resize_size) == ((0.1, 0.2, 0.3), 64, 128)


def test_weights_of_another_model_are_refused(trained: Path) -> None:
    with pytest.raises(ModelError, match=r"must hold weights of test_vit2, but holds those of test_vit\."):
        timm_encoder("test_vit2", weights=trained)
    with pytest.raises(ModelError, match="weights do not fit backbone test_vit2: .*reg_token"):
        timm_encoder("test_vit2", weights=trained / "model.safetensors")


def test_weights_with_a_part_missing_are_refused(trained: Path, tmp_path: Path) -> None:
    """timm itself would leave it random without a word."""
    weights = safetensors.torch.load_file(trained / "model.safetensors")
    del weights["blocks.0.attn.qkv.weight"]
    safetensors.torch.save_file(weights, tmp_path / "cut.safetensors")
    with pytest.raises(ModelError, match="do not fit backbone test_vit: Missing key.*blocks.0.attn.qkv"):
        timm_encoder(NAME, weights=tmp_path / "cut.safetensors")


@pytest.mark.parametrize("name", ["model.bin", "model.pth", "folder/pytorch_model.bin"])
def test_pickled_weights_are_refused_unread(tmp_path: Path, name: str) -> None:
    file = tmp_path / name
    file.parent.mkdir(exist_ok=True)
    file.write_bytes(b"not even a pickle")
    given = file.parent if "/" in name else file
    with pytest.raises(ModelError, match=rf"{re.escape(str(file))} is pickled.*\n.*save_file"):
        timm_encoder(NAME, weights=given)


def test_weights_that_are_not_there_are_refused(tmp_path: Path) -> None:
    with pytest.raises(ModelError, match="must be a file or a directory, but .*nowhere does not exist"):
        timm_encoder(NAME, weights=tmp_path / "nowhere")
    with pytest.raises(ModelError, match=r"a directory with model.safetensors, but is "):
        timm_encoder(NAME, weights=tmp_path)


def test_damaged_weights_are_refused(trained: Path, tmp_path: Path) -> None:
    cut = tmp_path / "cut.safetensors"
    cut.write_bytes((trained / "model.safetensors").read_bytes()[:500])
    with pytest.raises(ModelError, match="cut.safetensors is damaged"):
        timm_encoder(NAME, weights=cut)
