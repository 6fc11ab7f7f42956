"""``fla map``: features of descriptions are predicted from features of pictures."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from click.testing import CliRunner

from fla_llm.cache.format import CacheRow, Provenance
from fla_llm.cache.reader import FeatureCache
from fla_llm.cache.verify import verify
from fla_llm.cache.writer import ShardWriter
from fla_llm.cli import fla
from fla_llm.core.errors import CacheError, ModelError, RunError
from fla_llm.describe.map_config import MapConfig
from fla_llm.describe.map_pairs import Pairs, pairs_of
from fla_llm.describe.map_training import train_mapper
from fla_llm.encoder.mapper import apply_mapper, load_mapper

CPU = torch.device("cpu")
NUM_CLIPS = {"train": 24, "dev": 6, "test": 4}
SIZES = (6, 5)
SETTINGS = ("hidden_size=32", "epochs=8", "batch_clips=4", "learning_rate=0.01")
Write = Callable[..., Path]


def features_of(split: str, number: int) -> tuple[np.ndarray, np.ndarray]:
    """Pictures, and descriptions that follow from the pictures step by step, at another magnitude."""
    draw = np.random.default_rng([len(split), number])
    pictures = draw.standard_normal((2 + number % 5, SIZES[0]))
    weights = np.random.default_rng(9).standard_normal(SIZES)
    return pictures, 20 + 3 * np.tanh(pictures @ weights)


@pytest.fixture
def write(tmp_path: Path) -> Write:
    def write(
        name: str, *, which: int, left_out: tuple[str, ...] = (), bad: str = "", longer: str = ""
    ) -> Path:
        for split, count in NUM_CLIPS.items():
            made_by = Provenance(
                encoder_fingerprint=str(which) * 64, encoder_config={"name": name}, level="frame",
                preprocessing={"phase": 0, "sampling": {"stride": 4}}, frame_batch=1, compute_dtype="float32",
                device_kind="cpu", corpus="toy", split=split, feature_size=SIZES[which], step_seconds=0.16,
                versions={"timm": "1"},
            )  # fmt: skip
            rows = [
                CacheRow(id=f"{split}/{n}", text="Satz", language="de", signer="", num_frames=9)
                for n in range(count)
                if f"{split}/{n}" not in left_out
            ]
            where = {"split": split, "index": 0, "count": 1, "rows": rows, "provenance": made_by}
            with ShardWriter(tmp_path / name, **where) as writer:
                for row in rows:
                    features = features_of(split, int(row.id.rpartition("/")[2]))[which].astype(np.float16)
                    if row.id == bad:
                        writer.reject(row, "damaged")
                    else:
                        writer.append(row, np.concatenate([features] * (1 + (row.id == longer))))
                writer.finish()
        return tmp_path / name

    return write


def run(source: Path, target: Path, out: Path, *options: str) -> Any:
    given = ["map", "--from", source, "--to", target, "--out", out, "--device", "cpu", "--json", *options]
    chosen = [word for setting in SETTINGS for word in ("--set", setting)]
    return CliRunner().invoke(fla, [*map(str, given), *chosen], catch_exceptions=False)


def test_the_predictions_are_a_cache_of_all_splits_and_beat_the_mean(write: Write, tmp_path: Path) -> None:
    source, target, out = write("pictures", which=0), write("texts", which=1), tmp_path / "mapped"
    done = run(source, target, out)
    result = json.loads(done.stdout)
    assert done.exit_code == 0
    assert result["dev_mse"] < result["mean_mse"] / 2
    assert verify(out) == []
    errors = []
    for split, count in NUM_CLIPS.items():
        mapped, given = FeatureCache(out, split), FeatureCache(source, split)
        assert mapped.rows == given.rows
        wanted = [features_of(split, number)[1] for number in range(count)]
        errors.append(np.mean(np.concatenate([mapped[n] - wanted[n] for n in range(count)]) ** 2))
    assert max(errors) < result["mean_mse"] / 2  # of test too, which nothing was learned from
    about = FeatureCache(out, "dev").provenance
    assert (about.feature_size, about.level) == (SIZES[1], "frame")
    said = about.preprocessing["mapped"]
    assert (said["source"], said["target"]) == ("0" * 64, "1" * 64)
    assert (said["dev_mse"], said["mean_mse"]) == (result["dev_mse"], result["mean_mse"])
    mapper = load_mapper(out)
    assert (apply_mapper(mapper, FeatureCache(source, "dev")[2]) == FeatureCache(out, "dev")[2]).all()


def test_a_cache_made_twice_is_equal_byte_for_byte(write: Write, tmp_path: Path) -> None:
    source, target = write("pictures", which=0), write("texts", which=1)
    folders = [tmp_path / "one", tmp_path / "two"]
    for folder in folders:
        run(source, target, folder)
    files = [{path.name: path.read_bytes() for path in folder.iterdir()} for folder in folders]
    assert files[0] == files[1]
    assert len(files[0]) == 5  # three shards and the mapper
    run(source, target, tmp_path / "other", "--seed", "1")
    assert FeatureCache(tmp_path / "other").fingerprint != FeatureCache(folders[0]).fingerprint


def test_clips_that_one_cache_lacks_are_accounted_for(write: Write, tmp_path: Path) -> None:
    source = write("pictures", which=0, bad="test/1")
    target = write("texts", which=1, left_out=("train/3", "test/2"))
    done = run(source, target, tmp_path / "mapped")
    result = json.loads(done.stdout)
    assert (done.exit_code, result["rejected"]) == (1, [["test", "test/1"]])
    assert result["train_clips"] == NUM_CLIPS["train"] - 1
    # A clip without description is predicted too: predicting is what the mapper is for.
    assert "train/3" in FeatureCache(tmp_path / "mapped", "train").views
    assert FeatureCache(tmp_path / "mapped", "test").rejected == [("test/1", 0)]


def test_caches_that_do_not_fit_are_refused(write: Write, tmp_path: Path) -> None:
    source, out = write("pictures", which=0), tmp_path / "mapped"
    with pytest.raises(CacheError, match=r"'dev/2' has 4 in .*pictures and 8 in .*longer"):
        run(source, write("longer", which=1, longer="dev/2"), out)
    others = tuple(f"train/{n}" for n in range(1, 24))
    alone = write("alone", which=1, left_out=(*others, "train/0"))
    with pytest.raises(CacheError, match="share none of train"):
        run(source, alone, out)
    (alone / "dev-0-of-1.h5").unlink()
    with pytest.raises(CacheError, match="to end the training, but lacks dev"):
        run(source, alone, out)
    assert not out.exists()
    (out / "x").mkdir(parents=True)
    with pytest.raises(RunError, match="is not empty"):
        run(source, alone, out)
    with pytest.raises(ModelError, match=r"must hold a mapper, but lacks mapper.json"):
        load_mapper(out)


def test_training_ends_where_dev_gets_no_better_and_keeps_the_best(write: Write) -> None:
    source, target = write("pictures", which=0), write("texts", which=1)
    caches = [[FeatureCache(folder, split) for folder in (source, target)] for split in ("train", "dev")]
    train, dev = (pairs_of(*both) for both in caches)
    one = Pairs(dev.source, dev.target, dev.rows[:1])
    config = MapConfig(hidden_size=16, epochs=30, patience=2, batch_clips=4, learning_rate=0.3)
    trained = train_mapper(train, one, config=config, device=CPU)
    # With so large steps the error jumps, and two epochs without gain come early.
    assert 1 <= trained.epoch <= config.epochs - config.patience
    again = train_mapper(
        train, one, config=MapConfig(**{**vars(config), "epochs": trained.epoch}), device=CPU
    )
    assert again.dev_mse == trained.dev_mse
    for name, weight in trained.mapper.state_dict().items():
        assert torch.equal(weight, again.mapper.state_dict()[name])
