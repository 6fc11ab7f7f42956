"""The names at the top of the package do what the commands do, and cost nothing until they are used."""

import re
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import pytest
import torch
from click.testing import Result

import fla_llm
from fla_llm.cache.reader import FeatureCache
from fla_llm.core.errors import CacheError, ConfigError

Fla = Callable[..., Result]
PAGE = Path(__file__).parents[2] / "docs" / "python.md"


def test_the_import_loads_no_torch_and_finds_every_name() -> None:
    code = (
        "import sys, fla_llm; assert 'torch' not in sys.modules, 'torch'; from fla_llm import extract, score;"
        "assert extract is fla_llm.extract and callable(extract); from fla_llm.extract.config import *;"
        "assert callable(fla_llm.extract)"
    )
    subprocess.run([sys.executable, "-c", code], check=True)
    assert all(callable(getattr(fla_llm, name)) for name in fla_llm.__all__ if name != "__version__")


def test_an_unknown_name_is_an_attribute_error() -> None:
    with pytest.raises(AttributeError, match="has no attribute 'translate'"):
        fla_llm.translate  # type: ignore[attr-defined]  # noqa: B018  # the access is the test


def test_the_page_runs_from_top_to_bottom(
    house: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    for name in ("llm", "corpus"):
        (tmp_path / name).symlink_to(house / name)
    shutil.copytree(house / "stage1", tmp_path / "runs" / "stage1")
    shutil.copyfile(house / "manifest.jsonl", tmp_path / "manifest.jsonl")
    shutil.copyfile(min((house / "corpus" / "videos" / "test").iterdir()), tmp_path / "clip.mp4")
    monkeypatch.chdir(tmp_path)
    for number, code in enumerate(re.findall(r"```python\n(.*?)```", PAGE.read_text(), re.S)):
        exec(compile(code, f"{PAGE}:{number}", "exec"), {})
    assert len(capsys.readouterr().out.splitlines()) == 3
    for shard in (house / "cache").glob("*.h5"):  # the function writes what the command wrote
        assert (tmp_path / "cache" / shard.name).read_bytes() == shard.read_bytes()


def test_evaluation_takes_features_or_a_manifest(run: Path, house: Path) -> None:
    scored = fla_llm.evaluate(
        run, features=[house / "cache"], settings=["num_beams=1"], device="cpu", limit=1
    )
    assert len(list(run.glob("predictions-test*"))) == 1
    assert scored.coverage.clips == 4
    with pytest.raises(ConfigError, match="either features"):
        fla_llm.evaluate(run)


def test_a_dataset_has_every_clip_of_the_cache_and_pads_with_zeros(
    house: Path, reject: Callable[..., Path]
) -> None:
    cache, clips = FeatureCache(house / "cache", "test"), fla_llm.FeatureDataset(house / "cache", "test")
    assert [clip["id"] for clip in clips] == [row.id for row in cache.rows]
    batch = clips.collate([clips[index] for index in range(len(clips))])
    assert batch["features"].dtype == torch.float32
    assert batch["features"].shape == (len(cache), max(cache.num_steps), clips.feature_size)
    for row, (features, length) in enumerate(zip(batch["features"], batch["lengths"], strict=True)):
        np.testing.assert_array_equal(features[:length].numpy(), cache[row].astype(np.float32))
        assert not features[length:].any()
        assert batch["mask"][row].sum() == length
    assert batch["text"] == [row.text for row in cache.rows]
    assert batch["task"] == [row.task for row in cache.rows] == ["translate"] * len(cache)
    rejected = cache.rows[1].id
    assert fla_llm.FeatureDataset(reject(rejected), "test").missing == [rejected]
    with pytest.raises(CacheError, match="must have view 3 of split test, but has the views 0"):
        fla_llm.FeatureDataset(house / "cache", "test", view=3)


class Datasets(ModuleType):
    """Stands for the package datasets where it is not installed: keeps what it is given."""

    def __init__(self) -> None:
        super().__init__("datasets")
        self.Dataset, self.Features = self, dict

    def Value(self, dtype: str) -> str:  # noqa: N802  # names of the package
        return dtype

    def Array2D(self, *, shape: tuple[int | None, int], dtype: str) -> tuple[Any, str]:  # noqa: N802
        return shape, dtype

    def from_generator(self, rows: Any, *, features: dict[str, Any], fingerprint: str) -> Any:
        found = [row for row in rows()]
        assert all(row.keys() == features.keys() for row in found)
        return found, features, fingerprint


def test_a_dataset_becomes_one_of_hugging_face(
    house: Path, reject: Callable[..., Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    clips = fla_llm.FeatureDataset(house / "cache", "test")
    monkeypatch.setitem(sys.modules, "datasets", Datasets())
    rows, columns, digest = clips.to_hf_dataset()
    assert columns["features"] == ((None, clips.feature_size), "float16")
    for row, clip in zip(rows, clips, strict=True):
        np.testing.assert_array_equal(row["features"], clip["features"].numpy().astype(np.float16))
        assert {name: row[name] for name in ("id", "text", "signer")} == {
            name: clip[name] for name in ("id", "text", "signer")
        }
    assert digest == fla_llm.FeatureDataset(house / "cache", "test").to_hf_dataset()[2]
    # Other rows must not be found under the name of these.
    assert digest != fla_llm.FeatureDataset(reject(rows[0]["id"]), "test").to_hf_dataset()[2]
    monkeypatch.setitem(sys.modules, "datasets", None)
    with pytest.raises(ConfigError, match="Run: pip install datasets"):
        clips.to_hf_dataset()
