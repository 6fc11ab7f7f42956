"""A run whose files are not whole is refused in one sentence, which names the file."""

import json
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file, save_file

from fla_llm.core.errors import FlaError
from fla_llm.finetune.model import StageTwoModel
from fla_llm.finetune.store import describe_run, load_stage_two, save_stage_two

Damage = Callable[[Path], Any]
PROJECTOR, LORA = "projector.safetensors", "lora/adapter_model.safetensors"
LORA_CONFIG = "lora/adapter_config.json"


def cut(file: Path) -> None:
    file.write_bytes(file.read_bytes()[:-50])


def holds(text: str) -> Damage:
    return lambda file: file.write_text(text)


def without(key: str) -> Damage:
    return lambda file: file.write_text(json.dumps(json.loads(file.read_text()) | {key: None}))


def narrower(file: Path) -> None:
    save_file({name: t[:1].clone() if t.dim() else t for name, t in load_file(file).items()}, file)


def other(file: Path) -> None:
    save_file({"weight": torch.ones(2)}, file)


DAMAGED: dict[str, tuple[str, Damage, str]] = {
    "projector cut": (PROJECTOR, cut, "is damaged"),
    "projector empty": (PROJECTOR, holds(""), "is empty"),
    "projector a pointer": (PROJECTOR, holds("version https://git-lfs.github.com/spec/v1\n"), "is a Git LFS"),
    "projector narrower": (PROJECTOR, narrower, r"does not fit .*: it has layers.0.bias in shape \[1\] in"),
    "another's projector": (PROJECTOR, other, r"does not fit .*: it lacks 7 tensors \(layers"),
    "adapters cut": (LORA, cut, "is damaged"),
    "adapters' settings cut": (LORA_CONFIG, cut, "must be JSON, but is not"),
    "adapters' settings empty": (LORA_CONFIG, holds("{}"), "must hold the adapters of this 'llama'"),
    "adapters' settings a list": (LORA_CONFIG, holds("[]"), "must hold the adapters of this 'llama'"),
    "description cut": ("run.json", cut, "must be JSON, but is not"),
    "description a list": ("run.json", holds("[]"), "must describe a stage-two run"),
    "description without model": ("run.json", without("llm"), "must say llm, but does not"),
    "settings cut": ("config.yaml", holds("lora: {rank: ["), "must be YAML"),
    "settings of another kind": ("config.yaml", holds("rank: 3"), "unknown key 'rank'"),
}  # fmt: skip


@pytest.mark.parametrize("damage", DAMAGED)
def test_the_file_is_named(damage: str, build: Callable[..., StageTwoModel], tmp_path: Path) -> None:
    model = build("llama", quantise="none")
    save_stage_two(model, tmp_path, description=describe_run(model, languages=["de"]))
    part, change, message = DAMAGED[damage]
    change(tmp_path / part)
    place = (tmp_path / part).parent if "must hold the adapters" in message else tmp_path / part
    with pytest.raises(FlaError, match=f"^{re.escape(str(place))}:? {message}"):
        load_stage_two(tmp_path, device="cpu")
