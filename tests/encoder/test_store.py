import json
import shutil
from pathlib import Path

import pytest
import torch

from fla_llm.core.errors import ConfigError, ModelError
from fla_llm.encoder.store import fingerprint, fingerprint_of, load_encoder, save_encoder


@pytest.fixture
def folder(make_encoder, tmp_path: Path) -> Path:
    save_encoder(make_encoder(), tmp_path / "run" / "encoder")
    return tmp_path / "run" / "encoder"


def test_encoder_survives_being_written(make_encoder, folder: Path) -> None:
    encoder, loaded = make_encoder(), load_encoder(folder)
    assert loaded.config == encoder.config
    assert not loaded.training
    assert loaded.state_dict().keys() == encoder.state_dict().keys()
    assert all(torch.equal(value, loaded.state_dict()[name]) for name, value in encoder.state_dict().items())
    assert sorted(file.name for file in folder.iterdir()) == ["config.json", "model.safetensors"]


def test_run_directory_stands_for_its_encoder(folder: Path) -> None:
    assert load_encoder(folder.parent).config == load_encoder(folder).config
    assert fingerprint(folder.parent) == fingerprint(folder)


def test_fingerprint_is_the_same_in_memory_and_on_disk(make_encoder, folder: Path) -> None:
    assert fingerprint_of(make_encoder()) == fingerprint(folder)
    assert fingerprint_of(load_encoder(folder)) == fingerprint(folder)
    assert len(fingerprint(folder)) == 64


def test_fingerprint_does_not_depend_on_how_weights_lie_in_memory(make_encoder, folder: Path) -> None:
    encoder = make_encoder().train().to(memory_format=torch.channels_last)
    assert fingerprint_of(encoder) == fingerprint(folder)


def test_fingerprint_sees_every_setting_and_weight(make_encoder, folder: Path) -> None:
    changed = make_encoder()
    changed.temporal.norm.running_mean[0] += 1e-6
    prints = {fingerprint(folder), fingerprint_of(changed), fingerprint_of(make_encoder(resize_size=41))}
    assert len(prints) == 3


def test_loading_never_asks_for_pretrained_weights(make_encoder, folder: Path) -> None:
    assert json.loads((folder / "config.json").read_text())["pretrained"] is False


@pytest.mark.parametrize("name", ["config.json", "model.safetensors"])
def test_missing_part_is_named(folder: Path, name: str) -> None:
    (folder / name).unlink()
    for function in (load_encoder, fingerprint):
        with pytest.raises(ModelError, match=f"encoder must be an encoder directory, but lacks {name}"):
            function(folder.parent)


def test_folder_that_is_not_there_is_named(tmp_path: Path) -> None:
    with pytest.raises(ModelError, match="nowhere must be an encoder directory, but does not exist"):
        load_encoder(tmp_path / "nowhere")


def test_weights_cut_off_are_refused(folder: Path) -> None:
    weights = folder / "model.safetensors"
    weights.write_bytes(weights.read_bytes()[:1000])
    with pytest.raises(ModelError, match="model.safetensors is damaged"):
        load_encoder(folder)


def test_weights_of_another_encoder_are_refused(make_encoder, folder: Path, tmp_path: Path) -> None:
    save_encoder(make_encoder(hidden_size=9), tmp_path / "other")
    shutil.copy(tmp_path / "other" / "model.safetensors", folder)
    with pytest.raises(ModelError, match="model.safetensors does not fit .*temporal.conv.weight"):
        load_encoder(folder)


def test_config_of_something_else_is_refused(folder: Path) -> None:
    (folder / "config.json").write_text('{"model_type": "mbart"}')
    with pytest.raises(ModelError, match="config.json must describe an encoder"):
        load_encoder(folder)


def test_unknown_setting_is_refused(folder: Path) -> None:
    content = json.loads((folder / "config.json").read_text())
    (folder / "config.json").write_text(json.dumps({**content, "hiden_size": 3}))
    with pytest.raises(
        ConfigError, match="config.json: unknown key 'hiden_size'. Did you mean 'hidden_size'"
    ):
        load_encoder(folder)
