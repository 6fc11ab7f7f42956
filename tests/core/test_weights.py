"""Every way that a file of weights can be damaged is one sentence that names the file and the tensors."""

import json
import re
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file

from fla_llm.core.errors import ModelError
from fla_llm.core.weights import check_folder, load_into, read_tensors

POINTER = b"version https://git-lfs.github.com/spec/v1\noid sha256:00\nsize 4096\n"


@pytest.fixture
def file(tmp_path: Path) -> Path:
    """Weights of a linear layer."""
    save_file({"weight": torch.ones(2, 3), "bias": torch.ones(2)}, tmp_path / "model.safetensors")
    return tmp_path / "model.safetensors"


def cut(content: bytes) -> bytes:
    return content[:-1]


@pytest.mark.parametrize(
    ("damage", "message"),
    [
        (cut, "is damaged: .*not fully covered"),
        (lambda _: b"", "is empty"),
        (lambda _: b"PK\x03\x04 something else altogether", "is damaged"),
        (lambda _: POINTER, "is a Git LFS pointer.*\nRun git lfs pull"),
    ],
)
def test_a_damaged_file_is_named(damage: Callable[[bytes], bytes], message: str, file: Path) -> None:
    file.write_bytes(damage(file.read_bytes()))
    for check in (lambda: read_tensors(file), lambda: check_folder(file.parent)):
        with pytest.raises(ModelError, match=f"^{re.escape(str(file))} {message}"):
            check()
    file.unlink()
    with pytest.raises(ModelError, match="model.safetensors does not exist"):
        read_tensors(file)


@pytest.mark.parametrize(
    ("tensors", "message"),
    [
        ({"weight": (2, 3)}, r"lacks 1 tensor \(bias\)"),
        ({"weight": (2, 3), "bias": (2,), "gain": (2,)}, r"has 1 tensor \(gain\) too many"),
        ({"weight": (3, 2), "bias": (2,)}, r"has weight in shape \[3, 2\] in place of \[2, 3\]"),
        ({"w": (2, 3), "b": (2,)}, r"lacks 2 tensors \(bias, weight\) and has 2 tensors \(b, w\) too many"),
    ],
)
def test_tensors_that_do_not_fit_are_named(tensors: dict, message: str, file: Path) -> None:
    save_file({name: torch.ones(shape) for name, shape in tensors.items()}, file)
    with pytest.raises(ModelError, match=f"model.safetensors does not fit the layer: it {message}"):
        load_into(torch.nn.Linear(3, 2), file, of="the layer")


def test_an_index_that_names_an_absent_shard_is_refused(file: Path) -> None:
    index = file.with_name("model.safetensors.index.json")
    index.write_text(json.dumps({"weight_map": {"weight": file.name, "gain": "second.safetensors"}}))
    with pytest.raises(
        ModelError, match=r"lacks second.safetensors, which .*json names for 1 tensor \(gain\)"
    ):
        check_folder(file.parent)
    index.write_text("[]")
    with pytest.raises(ModelError, match="must list tensors under 'weight_map'"):
        check_folder(file.parent)
