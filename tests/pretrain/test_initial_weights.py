"""The backbone begins with the weights of a file, which are checked before any clip is decoded."""

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import safetensors.torch
import timm
import torch
from torch import Tensor

from fla_llm.core.errors import ModelError
from fla_llm.core.files import sha256_file
from fla_llm.corpora.manifest import Manifest
from fla_llm.encoder.store import fingerprint
from fla_llm.pretrain.train import build_model, plan, pretrain

Make = Callable[..., Any]
STEM = "conv1.0.weight"


@pytest.fixture(scope="module")
def state() -> dict[str, Tensor]:
    """The tensors of a whole timm model, the classifier included."""
    with torch.random.fork_rng():
        torch.manual_seed(5)
        return timm.create_model("test_resnet").state_dict()


@pytest.fixture
def file(state: dict[str, Tensor], tmp_path: Path) -> Path:
    safetensors.torch.save_file(state, tmp_path / "weights.safetensors")
    return tmp_path / "weights.safetensors"


def test_the_backbone_begins_with_the_tensors_of_the_file(
    state: dict[str, Tensor], file: Path, corpus: Manifest, tiny_config: Make
) -> None:
    model = build_model(corpus.split("train"), tiny_config(encoder__weights=file, encoder__pretrained=True))
    own = model.encoder.backbone.net.state_dict()
    assert own.keys() < state.keys()
    assert all(torch.equal(tensor, state[name]) for name, tensor in own.items())


def test_a_run_records_the_file_and_is_resumed_without_it(
    file: Path, corpus: Manifest, tiny_config: Make, tmp_path: Path
) -> None:
    config, out, digest = tiny_config(encoder__weights=file, training__epochs=1), tmp_path / "run", None
    digest = sha256_file(file)
    trained = pretrain(corpus, config=config, out=out, device="cpu")
    before = fingerprint(out)
    file.unlink()
    assert pretrain(corpus, config=config, out=out, resume=True, device="cpu").epoch == trained.epoch
    assert json.loads((out / "run.json").read_text())["initial_weights"] == {
        "file": str(file.resolve()), "sha256": digest,
    }  # fmt: skip
    assert fingerprint(out) == before
    # The path says nothing about the trained encoder, whose weights lie beside its settings.
    assert "weights" not in json.loads((out / "encoder/config.json").read_text())


@pytest.mark.parametrize(
    ("fault", "named"),
    [
        (lambda state: state.pop(STEM), "Missing key.*conv1.0.weight"),
        (lambda state: state.update(other=torch.zeros(1)), "Unexpected key.*other"),
        (
            lambda state: state.update({STEM: torch.zeros(1, 1)}),
            r"size mismatch for conv1.0.weight.*\[1, 1\]",
        ),
    ],
)
def test_tensors_that_do_not_fit_are_named_before_a_clip_is_opened(
    state: dict[str, Tensor],
    corpus: Manifest,
    tiny_config: Make,
    tmp_path: Path,
    fault: Callable[[dict[str, Tensor]], Any],
    named: str,
) -> None:
    changed = dict(state)
    fault(changed)
    safetensors.torch.save_file(changed, tmp_path / "other.safetensors")
    config, nowhere = tiny_config(encoder__weights=tmp_path / "other.safetensors"), tmp_path / "nowhere"
    for start in (
        lambda it: pretrain(it, config=config, out=tmp_path / "run"),
        lambda it: plan(it, config=config),
    ):
        with pytest.raises(ModelError, match=f"do not fit backbone test_resnet: .*{named}"):
            start(replace(corpus, root=nowhere))


def test_all_kinds_of_faults_stand_in_one_error(
    state: dict[str, Tensor], corpus: Manifest, tiny_config: Make, tmp_path: Path
) -> None:
    changed = {name: tensor for name, tensor in state.items() if name != STEM} | {"other": torch.zeros(1)}
    safetensors.torch.save_file(changed, tmp_path / "other.safetensors")
    with pytest.raises(ModelError, match="Missing key.*Unexpected key"):
        build_model(corpus.split("train"), tiny_config(encoder__weights=tmp_path / "other.safetensors"))


@pytest.mark.parametrize(("mean", "warns"), [("[0.5, 0.5, 0.5]", False), ("[0.4, 0.5, 0.5]", True)])
def test_colours_that_the_weights_were_not_trained_on_are_named(
    file: Path,
    corpus: Manifest,
    tiny_config: Make,
    capsys: pytest.CaptureFixture[str],
    mean: str,
    warns: bool,
) -> None:
    plan(
        corpus, config=tiny_config(encoder__weights=file, encoder__mean=mean, encoder__std="[0.5, 0.5, 0.5]")
    )
    assert ('Add --set "encoder.mean=[0.5, 0.5, 0.5]"' in capsys.readouterr().err) is warns
