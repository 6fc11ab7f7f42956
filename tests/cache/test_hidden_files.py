"""Files that begin with a dot, such as macOS leaves on other disks, are no part of any folder."""

from pathlib import Path
from typing import Any

import numpy as np
import torch

from fla_llm.cache.format import Provenance
from fla_llm.cache.reader import FeatureCache, splits_in
from fla_llm.cache.summary import summarise
from fla_llm.cache.verify import verify
from fla_llm.core.run import new_folder
from fla_llm.core.sample import Sample
from fla_llm.corpora import Manifest
from fla_llm.extract.config import ExtractConfig
from fla_llm.extract.resolve_settings import resolve_settings
from fla_llm.interchange.export import export_cache
from fla_llm.interchange.import_config import ImportConfig
from fla_llm.interchange.import_plan import plan_import

APPLE_DOUBLE = b"\0\5\26\7\0\2\0\0Mac OS X        "


def strew(folder: Path, *names: str) -> None:
    folder.mkdir(exist_ok=True)
    for name in (*names, ".DS_Store"):
        (folder / name).write_bytes(APPLE_DOUBLE)


def test_readers_of_a_cache_pass_them_over(maker: Any, tmp_path: Path) -> None:
    maker.write(maker.rows(3))
    before = summarise(maker.folder), list(FeatureCache(maker.folder, "train").rows)
    strew(maker.folder, "._train-0-of-1.h5", "._dev-0-of-1.h5", ".h5", "._train-0-of-1.partial")
    assert (summarise(maker.folder), list(FeatureCache(maker.folder, "train").rows)) == before
    assert splits_in(maker.folder) == ["train"]
    assert verify(maker.folder, deep=True) == []
    strew(tmp_path / "exported")
    assert export_cache(maker.folder, out=tmp_path / "exported", layout="npy").to_dict()["clips"] == {
        "train": 3
    }
    (maker.folder / "train-0-of-1.h5").unlink()
    strew(tmp_path / "begun", "._train-0-of-1.h5")
    (tmp_path / "begun/train-0-of-1.partial").mkdir()
    assert [part["shard"] for part in summarise(tmp_path / "begun")["unfinished"]] == ["train-0-of-1.h5"]


def test_an_extraction_passes_them_over(maker: Any) -> None:
    strew(maker.folder, "._train-0-of-1.h5", "._train-0-of-1.partial", ".h5")
    made_by: Provenance = maker.made_by()
    chosen = resolve_settings(
        ExtractConfig(), encoder=None, fingerprint=made_by.encoder_fingerprint, out=maker.folder,
        device=torch.device("cpu"),
    )  # fmt: skip
    assert chosen.frame_batch == ExtractConfig(frame_batch=32).frame_batch
    assert new_folder(maker.folder)


def test_an_import_does_not_list_them(tmp_path: Path) -> None:
    strew(tmp_path / "features", "._1.npy", "._2.npy")
    np.save(tmp_path / "features/1.npy", np.ones((2, 4), np.float16))
    sample = Sample(id="1", split="train", video="1.mp4", text="x", language="de", num_frames=2, fps=25.0)
    manifest = Manifest(corpus="table", root=tmp_path, samples=(sample,))
    config = ImportConfig(format="npy", encoder="mine")
    plan = plan_import(tmp_path / "features", out=tmp_path / "cache", config=config, sentences=manifest)
    assert plan.without_row == ()
