"""Loading a language model: formats, and sentences for what is not there."""

from collections.abc import Callable
from pathlib import Path

import pytest
import torch

from fla_llm.core.errors import ModelError
from fla_llm.llm.load import load_llm

CPU = torch.device("cpu")
PLAIN = {"quantise": "none", "device": CPU, "dtype": torch.float32}


def test_an_id_that_is_not_on_disk_is_refused_while_offline(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)
    with pytest.raises(ModelError, match="someone/some-model is not on this disk.*\nUnset HF_HUB_OFFLINE"):
        load_llm("someone/some-model", **PLAIN)


@pytest.mark.parametrize("written", ["./no-llm", "{tmp}/no-llm", "{tmp}/a/no-llm"])
def test_a_directory_that_is_not_there_is_never_looked_for_elsewhere(written: str, tmp_path: Path) -> None:
    with pytest.raises(ModelError, match="there is no such directory"):
        load_llm(written.format(tmp=tmp_path), **PLAIN)


def test_a_name_inside_an_existing_folder_is_a_path(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "runs").mkdir()
    with pytest.raises(ModelError, match="runs/llm: there is no such directory"):
        load_llm("runs/llm", **PLAIN)


def test_a_folder_without_a_model_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ModelError, match="holds no config.json"):
        load_llm(str(tmp_path), **PLAIN)


def test_a_folder_without_weights_is_refused(llm_folder: Callable[[str], Path], tmp_path: Path) -> None:
    config = (llm_folder("llama") / "config.json").read_bytes()
    (tmp_path / "config.json").write_bytes(config)
    with pytest.raises(ModelError, match=f"{tmp_path} cannot be loaded"):
        load_llm(str(tmp_path), **PLAIN)


def test_t5_is_not_computed_in_fp16(llm_folder: Callable[[str], Path]) -> None:
    half = {**PLAIN, "dtype": torch.float16}
    assert load_llm(str(llm_folder("t5")), **half).model.dtype == torch.float32
    assert load_llm(str(llm_folder("llama")), **half).model.dtype == torch.float16


def test_what_the_checkpoint_says_of_generation_does_not_leak_in(llm_folder: Callable[[str], Path]) -> None:
    loaded = load_llm(str(llm_folder("mbart")), **PLAIN)
    assert loaded.model.generation_config.decoder_start_token_id == 2
    assert loaded.model.generation_config.num_beams in (None, 1)
    assert len(loaded.revision) == 64
