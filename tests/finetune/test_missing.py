"""Clips that extraction rejected, or that one stream lacks: left out, named, recorded, and counted."""

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner, Result

from fla_llm.cache.format import CacheRow, Provenance
from fla_llm.cache.reader import FeatureCache
from fla_llm.cache.writer import ShardWriter
from fla_llm.cli import fla
from fla_llm.core.config import write_config
from fla_llm.core.errors import CacheError
from fla_llm.finetune.config import TuneConfig
from fla_llm.finetune.data import FeatureItems, open_caches
from fla_llm.finetune.opening import open_clips

WORDS = {"a": "wind", "b": "regen", "c": "heute", "d": "morgen", "e": "sonne"}
IDS = tuple(WORDS)
Folder = Callable[[str], Path]


def write(
    folder: Path,
    *,
    encoder: str = "e",
    ids: tuple[str, ...] = IDS,
    lost: tuple[str, ...] = (),
    lost_views: tuple[tuple[str, int], ...] = (),
    splits: tuple[str, ...] = ("train", "dev"),
    views: int = 0,
) -> Path:
    """Write a cache in which the clips ``lost``, and single views, are rejected."""
    for split in splits:
        made_by = Provenance(
            encoder_fingerprint=encoder * 64, encoder_config={}, level="sign", preprocessing={},
            frame_batch=1, compute_dtype="float32", device_kind="cpu", corpus="toy", split=split,
            feature_size=8, step_seconds=0.16, versions={},
        )  # fmt: skip
        rows = [
            CacheRow(id=id, text=WORDS.get(id, "im"), language="de", signer="", num_frames=9, view=view)
            for id in ids
            for view in range(1 + views)
        ]
        with ShardWriter(folder, split=split, index=0, count=1, rows=rows, provenance=made_by) as writer:
            for row in rows:
                if row.id in lost or (row.id, row.view) in lost_views:
                    writer.reject(row, "it is damaged")
                else:
                    writer.append(row, np.full((3, 8), row.view, np.float16))
            writer.finish()
    return folder


def items_of(*folders: Path, split: str = "train", **options: int) -> FeatureItems:
    return FeatureItems(open_caches(folders, split), **options)


def test_the_reader_gives_what_extraction_rejected(tmp_path: Path) -> None:
    cache = FeatureCache(write(tmp_path / "cache", lost=("b",), views=1), "train")
    assert cache.rejected == [("b", 0), ("b", 1)]
    assert set(cache.views) | {id for id, _ in cache.rejected} == set(IDS)


def test_every_planned_clip_is_used_or_missing(tmp_path: Path) -> None:
    folder = write(tmp_path / "cache", lost=("b", "d"))
    items = items_of(folder)
    assert items.ids == ["a", "c", "e"]
    assert items.missing == dict.fromkeys("bd", f"it was rejected when {folder} was extracted")
    limited = items_of(folder, limit=1)
    assert (limited.ids, limited.num_usable, list(limited.missing)) == (["a"], 3, ["b", "d"])


def test_a_clip_is_missing_where_the_view_that_is_needed_is(tmp_path: Path) -> None:
    folder = write(tmp_path / "cache", lost_views=(("a", 0), ("b", 1)), views=1)
    assert list(items_of(folder).missing) == ["a"]  # an evaluation shows the clean pass
    trained = items_of(folder, view_seed=0)
    assert (trained.ids, trained.missing) == (list(IDS), {})


@pytest.mark.parametrize("is_rejected", [True, False])
def test_a_clip_that_one_stream_lacks_is_left_out_of_all(tmp_path: Path, is_rejected: bool) -> None:
    first = write(tmp_path / "first", lost=("e",))
    if is_rejected:
        second, reason = write(tmp_path / "second", encoder="f", lost=("b",)), "it was rejected when {} was"
    else:
        second, reason = write(tmp_path / "second", encoder="f", ids=(*"acde",)), "{} does not hold it"
    items = items_of(first, second)
    assert items.ids == ["a", "c", "d"]
    assert list(items.missing) == ["b", "e"]
    assert reason.format(second) in items.missing["b"]
    assert len(items.get(1)["features"]) == 2
    assert items_of(first, second, limit=2).ids == ["a", "c"]
    assert items_of(second, first).missing.keys() == items.missing.keys()


def test_streams_share_at_least_half_of_their_clips(tmp_path: Path) -> None:
    first = write(tmp_path / "first")
    with pytest.raises(CacheError, match="'a' is in 2 of the 2 and 'e' in 1: 2 of the 5 ids are in all"):
        items_of(first, write(tmp_path / "second", encoder="f", ids=("a", "b")))
    rejected = items_of(first, write(tmp_path / "third", encoder="g", lost=("a", "b", "c")))
    assert rejected.ids == ["d", "e"]  # what was rejected was planned: these are the same clips


def test_corpora_count_their_own_missing_clips(tmp_path: Path) -> None:
    one, two = write(tmp_path / "one", lost=("a",)), write(tmp_path / "two", ids=("x", "y"), lost=("y",))
    items = items_of(one, two)
    assert (items.ids, list(items.missing)) == (["b", "c", "d", "e", "x"], ["a", "y"])


def test_a_split_of_which_nothing_is_left_is_refused(tmp_path: Path) -> None:
    nothing = r"must hold clips of split dev, but none can be used. Clip 'a' is missing: it was rejected when"
    with pytest.raises(CacheError, match=nothing):
        items_of(write(tmp_path / "none", lost=IDS), split="dev")
    with pytest.raises(CacheError, match="of split train, but none can be used.\nRun"):
        items_of(write(tmp_path / "empty", ids=()))
    first, second = write(tmp_path / "1", lost=(*"abc",)), write(tmp_path / "2", encoder="f", lost=(*"de",))
    with pytest.raises(CacheError, match=r"1, .*2 must hold clips of split train, but none can be used"):
        items_of(first, second)


def test_no_cache_is_passed_over(tmp_path: Path, config: TuneConfig) -> None:
    cache = write(tmp_path / "cache")
    with pytest.raises(CacheError, match=r"nowhere must be the folder of a feature cache"):
        open_clips([cache, tmp_path / "nowhere"], config=config)
    tested = write(tmp_path / "tested", encoder="f", splits=("test",))
    with pytest.raises(CacheError, match="tested must hold split train or dev .*, but holds test alone"):
        open_clips([cache, tested], config=config)


@pytest.fixture
def command(llm_folder: Folder, config: TuneConfig, tmp_path: Path) -> Callable[..., Result]:
    """``fla tune`` with settings for tiny models."""
    settings = tmp_path / "settings.yaml"
    write_config(replace(config, quantise="none", training=replace(config.training, epochs=1)), settings)

    def tune(*features: Path, options: tuple[str, ...] = ()) -> Result:
        given = [part for folder in features for part in ("--features", str(folder))]
        arguments = ["--llm", str(llm_folder("llama")), "--out", str(tmp_path / "run"), "--device", "cpu"]
        return CliRunner().invoke(fla, ["tune", *given, *arguments, "--config", str(settings), *options])

    return tune


def test_tune_names_missing_clips_records_them_and_ends_with_one(
    command: Callable[..., Result], tmp_path: Path
) -> None:
    cache = write(tmp_path / "cache", lost=("b",))
    planned = command(cache, options=("--dry-run", "--json"))
    assert (planned.exit_code, list(json.loads(planned.stdout)["missing"])) == (1, ["train", "dev"])
    done = command(cache, write(tmp_path / "poses", encoder="f", ids=(*"bcde",)))
    assert done.exit_code == 1
    reasons = {
        "a": f"{tmp_path / 'poses'} does not hold it",
        "b": f"it was rejected when {cache} was extracted",
    }
    for split in ("train", "dev"):
        for id, reason in reasons.items():
            assert f"{split} clip {id!r} is missing: {reason}" in done.stderr
        assert f"{split}: 2 clips are missing:" in done.stdout
        assert f"missing {split}" in done.stdout
    assert "  'b': it was rejected" in done.stdout
    assert json.loads((tmp_path / "run" / "run.json").read_text())["missing"] == {
        split: dict(sorted(reasons.items())) for split in ("train", "dev")
    }
    assert len((tmp_path / "run" / "predictions-dev.jsonl").read_text().splitlines()) == 3
