"""Code that comes with a model is never run, whatever a library asks or a user answers."""

import ast
import io
import json
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import torch
from transformers import LlamaConfig

from fla_llm.core.errors import ModelError
from fla_llm.encoder.hf_video import hf_video_encoder
from fla_llm.llm.load import load_llm
from fla_llm.planning.model_shapes import build_on_meta, read_config
from fla_llm.pretrain.config import TokenizerConfig
from fla_llm.pretrain.tokenizer import make_tokenizer

ROOT = Path(__file__).parents[1]
LOADERS = ("from_pretrained", "from_config", "get_config_dict")
GUARDED = {"load", "load_pretrained"}
"""Functions that pass ``trust_remote_code=False`` on to what they are given: core/hub.py."""
NO_SUCH_OPTION = {"PeftModel.from_pretrained"}
"""Adapters on a model that is already loaded: peft takes no code from a folder."""
CODE = "import pathlib\npathlib.Path({mark!r}).write_text('ran')\n"


def parents_of(tree: ast.AST) -> dict[ast.AST, ast.AST]:
    return {child: node for node in ast.walk(tree) for child in ast.iter_child_nodes(node)}


def is_guarded(node: ast.Attribute, parents: dict[ast.AST, ast.AST]) -> bool:
    """Tell whether a loader is called with ``trust_remote_code=False``, or handed to what does so."""
    call = parents[node]
    if isinstance(call, ast.Call) and call.func is node:
        given = {word.arg: word.value for word in call.keywords}
        value = given.get("trust_remote_code")
        passed_on = None in given  # **settings of load_pretrained
        return passed_on or (isinstance(value, ast.Constant) and value.value is False)
    if isinstance(call, ast.Call):
        return isinstance(call.func, ast.Name) and call.func.id in GUARDED
    return isinstance(call, ast.AnnAssign) and isinstance(call.target, ast.Name) and call.target.id == "load"


def loaders() -> Iterator[tuple[str, ast.Attribute, dict[ast.AST, ast.AST]]]:
    for file in sorted(ROOT.glob("*/*.py")):
        if file.parent.name in ("tests", "bench"):
            continue
        tree = ast.parse(file.read_text(encoding="utf-8"))
        parents = parents_of(tree)
        for node in ast.walk(tree):
            if isinstance(node, ast.Attribute) and node.attr in LOADERS:
                yield f"{file.relative_to(ROOT)}:{node.lineno}", node, parents


def test_no_loader_is_called_without_forbidding_code() -> None:
    found = list(loaders())
    assert len(found) > 5  # the law looks at something
    bare = [place for place, node, parents in found if not is_guarded(node, parents)]
    allowed = [place for place, node, _ in found if ast.unparse(node) in NO_SUCH_OPTION]
    assert sorted(set(bare) - set(allowed)) == []


@pytest.fixture(scope="module")
def model_with_code(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A model's folder whose config, model and tokenizer each name a file of code."""
    folder = tmp_path_factory.mktemp("model")
    own = {"AutoConfig": "code.Config", "AutoModelForCausalLM": "code.Model", "AutoModel": "code.Model"}
    tokenizer = {"auto_map": {"AutoTokenizer": ["code.Tokenizer", None]}, "tokenizer_class": "Tokenizer"}
    (folder / "config.json").write_text(json.dumps({"model_type": "own", "auto_map": own}))
    (folder / "tokenizer_config.json").write_text(json.dumps(tokenizer))
    (folder / "code.py").write_text(CODE.format(mark=str(folder / "ran")))
    (folder / "preprocessor_config.json").write_text("{}")
    return folder


def load_language_model(folder: str) -> None:
    load_llm(folder, quantise="none", device=torch.device("cpu"), dtype=torch.float32)


def load_tokenizer_of_stage_one(folder: str) -> None:
    make_tokenizer(["a"], TokenizerConfig(llm=folder))


@pytest.mark.parametrize(
    ("load", "message"),
    [
        (load_language_model, "needs Python code of its own"),
        (hf_video_encoder, "needs Python code of its own"),
        (load_tokenizer_of_stage_one, "needs Python code of its own"),
        (read_config, "model_type must be an architecture that transformers knows"),
    ],
)
def test_a_yes_runs_nothing(
    load: Callable[[str], Any], message: str, model_with_code: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """transformers asks, and would run the code after ``y``."""
    monkeypatch.setattr("sys.stdin", io.StringIO("y\n" * 20))
    with pytest.raises(ModelError, match=f"{model_with_code}.*{message}"):
        load(str(model_with_code))
    assert not (model_with_code / "ran").exists()
    assert sys.stdin.readline() == "y\n"  # nobody asked
    assert sys.stdin.tell() == 2


def test_an_architecture_of_transformers_is_not_asked_for_its_code(
    model_with_code: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    content = json.loads((model_with_code / "config.json").read_text())
    config = LlamaConfig(vocab_size=8, hidden_size=8, intermediate_size=8, num_attention_heads=1)
    (tmp_path / "config.json").write_text(json.dumps(config.to_dict() | {"auto_map": content["auto_map"]}))
    monkeypatch.setattr("sys.stdin", io.StringIO("y\n" * 20))
    build_on_meta(read_config(str(tmp_path)), dtype=torch.float32)
    assert sys.stdin.tell() == 0
