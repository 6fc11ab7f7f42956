"""Videos are translated whatever made the features: a timm model, or a clip encoder of transformers."""

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import timm
import torch
from click.testing import Result
from house_fixtures import TINY_TRAINING, settings
from transformers import VideoMAEConfig, VideoMAEModel

from fla_llm.cache.reader import FeatureCache
from fla_llm.core.errors import CacheError, ModelError
from fla_llm.encoder import timm_models
from fla_llm.encoder.folder import check_encoder
from fla_llm.encoder.store import fingerprint, fingerprint_of, load_frozen
from fla_llm.extract.config import ExtractConfig
from fla_llm.extract.source import load_source
from fla_llm.pipeline.translator import Translator

Fla = Callable[..., Result]
CPU = ("--device", "cpu")


def write_weights(folder: Path, kind: str, *, seed: int = 0) -> Path:
    """Write a tiny model as other code would."""
    torch.manual_seed(seed)
    if kind == "timm":
        timm.models.save_for_hf(timm.create_model("test_resnet"), folder, safe_serialization=True)
        return folder
    VideoMAEModel(
        VideoMAEConfig(
            image_size=32, num_frames=4, hidden_size=16, num_hidden_layers=1, num_attention_heads=2,
            intermediate_size=32,
        )
    ).save_pretrained(folder)  # fmt: skip
    prepared = {"size": {"shortest_edge": 32}, "image_mean": [0.5] * 3, "image_std": [0.25] * 3}
    (folder / "preprocessor_config.json").write_text(json.dumps(prepared))
    return folder


@pytest.fixture(scope="module", params=["timm", "hf-video"])
def tuned(request: pytest.FixtureRequest, run_fla: Fla, house: Path, tmp_path_factory: Any) -> Path:
    """A folder with ``weights``, ``cache`` and ``run``."""
    folder, kind = tmp_path_factory.mktemp(request.param), request.param
    weights = write_weights(folder / "weights", kind)
    encoder = {
        "timm": ("timm:test_resnet", "timm={image_size: 32, frame_stride: 3}", f"timm.weights={weights}"),
        "hf-video": (f"hf-video:{weights}", "hf_video={window_stride: 3, frame_stride: 2}"),
    }[kind]
    run_fla(
        "extract", "--encoder", encoder[0], *settings(encoder[1:], ("workers=0", "frame_batch=8")),
        "--manifest", house / "manifest.jsonl", "--out", folder / "cache", *CPU,
    )  # fmt: skip
    run_fla(
        "tune", "--features", folder / "cache", "--llm", house / "llm", "--out", folder / "run", *CPU,
        *settings(TINY_TRAINING, ("training.batch_tokens=160", "lora.rank=2", "projector.hidden_size=16")),
    )  # fmt: skip
    return folder


@pytest.fixture
def videos(house: Path) -> list[Path]:
    rows = [json.loads(line) for line in (house / "manifest.jsonl").read_text().splitlines()[1:]]
    return [house / "corpus" / row["video"] for row in rows if row["split"] == "test"]


@pytest.fixture
def expected(run_fla: Fla, tuned: Path) -> list[str]:
    """What the run says of the features."""
    run_fla("evaluate", tuned / "run", "--features", tuned / "cache", *CPU)
    lines = (tuned / "run" / "predictions-test.jsonl").read_text().splitlines()
    return [" ".join(json.loads(line)["prediction"].splitlines()) for line in lines]


def test_a_run_translates_with_the_weights_of_its_features(
    run_fla: Fla, tuned: Path, videos: list[Path], expected: list[str], tmp_path: Path
) -> None:
    # Weights may lie in a folder of another name.
    weights = shutil.copytree(tuned / "weights", tmp_path / "renamed")
    done = run_fla("translate", *videos, "--run", tuned / "run", "--ckpt", weights, *CPU)
    assert done.stdout.splitlines() == expected
    other = write_weights(tmp_path / "other", tuned.name.rstrip("0"), seed=1)
    with pytest.raises(CacheError, match="Give the weights that fla extract was given"):
        run_fla("translate", videos[0], "--run", tuned / "run", "--ckpt", other, *CPU)
    with pytest.raises(ModelError):
        run_fla("translate", videos[0], "--run", tuned / "run", "--ckpt", tmp_path / "nowhere", *CPU)


def test_an_export_with_any_encoder_is_complete_and_only_read(
    run_fla: Fla, house: Path, tuned: Path, videos: list[Path], expected: list[str], tmp_path: Path
) -> None:
    given = ("--ckpt", tuned / "weights", "--with-llm")
    done = run_fla("export", tuned / "run", "--out", tmp_path / "a", *given, "--json")
    assert json.loads(done.stdout)["has_encoder"]
    model = Path(shutil.move(tmp_path / "a", tmp_path / "elsewhere"))
    for path in (model, *model.rglob("*")):
        path.chmod(0o555 if path.is_dir() else 0o444)
    before = {path: path.stat().st_mtime_ns for path in (model, *model.rglob("*"))}
    gone = [tuned / "weights", tuned / "run", house / "llm"]
    for path in gone:
        path.rename(path.with_name(f"hidden-{path.name}"))
    try:
        said = run_fla("translate", *videos, "--model", model, *CPU).stdout
        features = Translator.from_pretrained(model, device="cpu").features(videos)
    finally:
        for path in gone:
            path.with_name(f"hidden-{path.name}").rename(path)
    cache = FeatureCache(tuned / "cache", "test")
    for number, array in enumerate(features):
        np.testing.assert_array_equal(array, cache[number])
    assert said.splitlines() == expected
    # Nothing is written beside the model, which may lie on a disk that cannot be written to.
    assert {path: path.stat().st_mtime_ns for path in (model, *model.rglob("*"))} == before
    check_encoder(model)
    assert fingerprint_of(load_frozen(model)) == fingerprint(model)
    described = json.loads((model / "run.json").read_text())
    assert described["feature_fingerprint"] == fingerprint(model)
    assert {path.suffix for path in (model / "encoder").iterdir()} == {".json", ".safetensors"}
    # The encoder of an export encodes a whole corpus too.
    loaded, found = load_source(ckpt=model, encoder=None, config=ExtractConfig())
    assert (found, loaded.frame_size) == (fingerprint(model), described["feature_size"])
    for path in (model, *model.rglob("*")):
        path.chmod(0o755 if path.is_dir() else 0o644)


@pytest.mark.parametrize("tuned", ["hf-video"], indirect=True)
def test_weights_without_a_name_must_be_given(
    run_fla: Fla, tuned: Path, videos: list[Path], tmp_path: Path
) -> None:
    done = run_fla("export", tuned / "run", "--out", tmp_path / "a", "--json")
    assert not json.loads(done.stdout)["has_encoder"]
    assert "The export has no encoder: give the weights" in done.stderr
    alone = run_fla("translate", videos[0], "--run", tuned / "run", *CPU, exit_code=2)
    assert "--run alone is enough where" in alone.stderr


def test_a_run_names_the_model_whose_own_weights_made_its_features(
    run_fla: Fla, house: Path, videos: list[Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    create = timm.create_model

    def with_own_weights(name: str, *, pretrained: bool, **options: Any) -> Any:
        """Stand for the weights that timm keeps on this disk."""
        with torch.random.fork_rng():
            torch.manual_seed(5 if pretrained else 6)
            return create(name, pretrained=False, **options)

    for module in (timm_models, __import__("fla_llm.encoder.timm_source").encoder.timm_source):
        monkeypatch.setattr(module, "check_weights_at_hand", lambda *_, **__: None)
    monkeypatch.setattr(timm_models.timm, "create_model", with_own_weights)
    run_fla(
        "extract", "--encoder", "timm:test_resnet", *settings(("timm={image_size: 32}", "workers=0")),
        "--manifest", house / "manifest.jsonl", "--out", tmp_path / "cache", *CPU,
    )  # fmt: skip
    run_fla(
        "tune", "--features", tmp_path / "cache", "--llm", house / "llm", "--out", tmp_path / "run", *CPU,
        *settings(TINY_TRAINING, ("training.batch_tokens=160", "lora.rank=2", "projector.hidden_size=16")),
    )  # fmt: skip
    said = run_fla("translate", *videos, "--run", tmp_path / "run", *CPU).stdout
    run_fla("export", tmp_path / "run", "--out", tmp_path / "model")
    monkeypatch.undo()
    assert run_fla("translate", *videos, "--model", tmp_path / "model", *CPU).stdout == said


@pytest.mark.parametrize("tuned", ["hf-video"], indirect=True)
def test_a_model_folder_chooses_no_code(tuned: Path, run_fla: Fla, tmp_path: Path) -> None:
    run_fla("export", tuned / "run", "--out", tmp_path / "a", "--ckpt", tuned / "weights")
    config = tmp_path / "a" / "encoder" / "config.json"
    content = json.loads(config.read_text())
    code = {"_attn_implementation": "someone/kernel", "attn_implementation": "someone/kernel", "auto_map": {}}
    config.write_text(json.dumps(content | {"architecture": content["architecture"] | code}))
    assert load_frozen(tmp_path / "a").frame_size == 16
    for wrong in ({"model_type": "bert"}, {"hidden_size": "x"}, None):
        architecture = None if wrong is None else content["architecture"] | wrong
        config.write_text(json.dumps(content | {"architecture": architecture}))
        with pytest.raises(ModelError, match=r"config\.json (must describe a model of kind|describes no)"):
            load_frozen(tmp_path / "a")
