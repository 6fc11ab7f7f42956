"""Views are passes over one clip: training draws one an epoch, everything else knows only the clean one."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from torch.utils.data import DataLoader

from fla_llm.cache.format import CacheRow, Provenance
from fla_llm.cache.writer import ShardWriter
from fla_llm.core.errors import CacheError
from fla_llm.finetune.batching import feature_evaluation_set
from fla_llm.finetune.config import TuneConfig
from fla_llm.finetune.data import FeatureItems, open_caches
from fla_llm.finetune.opening import open_clips
from fla_llm.finetune.train import tune
from fla_llm.training.batches import BatchDataset, make_batches

WIDTH = 8
VIEWS = 3


def write_views(folder: Path, *, splits: tuple[str, ...] = ("train", "dev"), first: int = 0) -> Path:
    """Write four clips; view v of clip c has 4 + c + v steps, of 10 c + v each; dev has no views."""
    for split in splits:
        last = VIEWS if split == "train" else first
        rows = [
            CacheRow(id=f"clip-{clip}", text="wind", language="de", signer="", num_frames=9, view=view)
            for clip in range(4)
            for view in range(first, last + 1)
        ]
        made_by = Provenance(
            encoder_fingerprint="e" * 64, encoder_config={}, level="sign", preprocessing={}, frame_batch=1,
            compute_dtype="float32", device_kind="cpu", corpus="toy", split=split, feature_size=WIDTH,
            step_seconds=0.16, versions={},
        )  # fmt: skip
        with ShardWriter(folder, split=split, index=0, count=1, rows=rows, provenance=made_by) as writer:
            for row in rows:
                clip = int(row.id[-1])
                writer.append(row, np.full((4 + clip + row.view, WIDTH), 10 * clip + row.view, np.float16))
            writer.finish()
    return folder


def test_training_draws_a_view_by_seed_epoch_and_id(tmp_path: Path) -> None:
    caches = open_caches([write_views(tmp_path / "cache")], "train")
    items, same, other = (FeatureItems(caches, view_seed=seed) for seed in (0, 0, 1))

    def drawn(items: FeatureItems) -> list[list[float]]:
        return [[items.get(i, epoch)["features"][0, 0] - 10 * i for i in range(4)] for epoch in range(16)]

    assert drawn(items) == drawn(same) != drawn(other)
    assert {view for epoch in drawn(items) for view in epoch} == {0, 1, 2, 3}
    assert len({tuple(epoch) for epoch in drawn(items)}) > 4  # clips are drawn apart from one another


def test_evaluation_takes_the_clean_pass_in_every_epoch(tmp_path: Path) -> None:
    items = FeatureItems(open_caches([write_views(tmp_path / "cache")], "train"))
    assert [items.get(i, epoch)["features"][0, 0] for epoch in range(3) for i in range(4)] == [
        0, 10, 20, 30, 0, 10, 20, 30, 0, 10, 20, 30,
    ]  # fmt: skip


def test_views_are_no_further_clips(build: Callable[..., Any], tmp_path: Path) -> None:
    caches = open_caches([write_views(tmp_path / "cache")], "train")
    assert len(FeatureItems(caches)) == 4
    limited = FeatureItems(caches, limit=2, view_seed=0)
    assert (limited.ids, len(limited.texts), len(limited.languages)) == (["clip-0", "clip-1"], 2, 2)
    evaluation = feature_evaluation_set(
        FeatureItems(caches), model=build("llama"), max_clips=9, max_tokens=999
    )
    assert (len(evaluation.ids), len(evaluation.references)) == (4, 4)
    assert [len(evaluation.batches[i]["features"]) for i in range(len(evaluation.batches))] == [4]


def test_which_clips_are_translated_together_follows_from_ids_and_lengths(
    build: Callable[..., Any], write_cache: Callable[..., Path], tmp_path: Path
) -> None:
    model = build("llama")
    folders = [write_cache(tmp_path / prefix, prefix=prefix) for prefix in ("b", "a", "c")]

    def together(folders: list[Path]) -> list[list[str]]:
        items = FeatureItems(open_caches(folders, "dev"))
        formed = feature_evaluation_set(items, model=model, max_clips=5, max_tokens=60).batches.batches
        return [[items.ids[i] for i in batch] for batch in formed]

    assert together(folders) == together(folders[::-1])


def test_batches_hold_in_every_epoch(tmp_path: Path) -> None:
    """They are formed once, from each clip's longest view."""
    items = FeatureItems(open_caches([write_views(tmp_path / "cache")], "train"), view_seed=0)
    assert items.lengths == [7, 8, 9, 10]
    batches = make_batches(items.lengths, max_clips=4, max_steps=20, seed=0)
    data = BatchDataset(items, batches, lambda rows: {"steps": [len(row["features"]) for row in rows]})
    for epoch in range(8):
        data.set_epoch(epoch)
        assert all(max(data[i]["steps"]) * len(data[i]["steps"]) <= 20 for i in range(len(data)))


def test_tuning_draws_in_train_alone(tmp_path: Path, config: TuneConfig) -> None:
    train, dev = open_clips([write_views(tmp_path / "cache")], config=config)
    assert dev is not None
    assert (train.view_seed, dev.view_seed) == (config.seed, None)


def test_a_clip_without_its_clean_pass_is_refused_in_evaluation(tmp_path: Path) -> None:
    caches = open_caches([write_views(tmp_path / "cache", splits=("train",), first=2)], "train")
    with pytest.raises(
        CacheError, match=r"'clip-0' must have its clean pass \(view 0\), but has only view 2"
    ):
        FeatureItems(caches)
    assert len(FeatureItems(caches, view_seed=0)) == 4


def test_in_memory_nothing_is_read_twice(tmp_path: Path) -> None:
    folder = write_views(tmp_path / "cache")
    (cache,) = open_caches([folder], "train", in_memory=True)
    for path in folder.glob("*.h5"):
        path.unlink()
    plain = FeatureItems([cache], view_seed=0)
    assert [plain.get(i, 1)["id"] for i in range(4)] == plain.ids


def test_features_in_memory_reach_workers_that_are_not_forked(tmp_path: Path, start_method: Any) -> None:
    """The files are gone; what this process reads, or a worker, is there for all."""
    folder = write_views(tmp_path / "cache", splits=("train",))
    with start_method("forkserver"):
        (cache,) = open_caches([folder], "train", in_memory=True, workers=1)
        for path in folder.glob("*.h5"):
            path.unlink()
        items = FeatureItems([cache], view_seed=0)
        batches = BatchDataset(items, [[0], [1], [2], [3]], next_of)
        loader = DataLoader(batches, batch_size=None, num_workers=1)
        for number, batch in enumerate(loader):
            assert batch["id"] == items.ids[number]
            np.testing.assert_array_equal(batch["features"], items.get(number)["features"])


def next_of(items: list[dict[str, Any]]) -> dict[str, Any]:
    """Take a batch of one clip as it is; a worker imports this by name."""
    return items[0]


def test_memory_does_not_change_a_run(
    tmp_path: Path, config: TuneConfig, llm_folder: Callable[[str], Path]
) -> None:
    cache = write_views(tmp_path / "cache", splits=("train",))
    config = replace(config, training=replace(config.training, epochs=1, select="last"))
    common = {"llm": str(llm_folder("llama")), "config": config, "device": "cpu"}
    for name, in_memory in (("plain", False), ("memory", True)):
        tune([cache], out=tmp_path / name, in_memory=in_memory, **common)
    parts = [(tmp_path / name / "projector.safetensors").read_bytes() for name in ("plain", "memory")]
    assert parts[0] == parts[1]
