"""Views: augmented passes besides the clean one, the same in every run, and never in its way."""

import os
import signal
from collections.abc import Callable
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image

from fla_llm.cache.reader import FeatureCache
from fla_llm.cache.summary import describe, summarise
from fla_llm.cache.writer import ShardWriter
from fla_llm.core.errors import CacheError, ConfigError
from fla_llm.core.sample import Sample
from fla_llm.corpora.manifest import Manifest
from fla_llm.encoder.model import VisualEncoder
from fla_llm.extract.checks import describe as describe_plan
from fla_llm.extract.config import ExtractConfig
from fla_llm.extract.plan import Extraction
from fla_llm.extract.result import Extracted
from fla_llm.extract.views import views_of
from fla_llm.video import transforms
from fla_llm.video.sampling import FrameSampling

Run = Callable[..., Extracted]
CLEAN = ExtractConfig(frame_batch=4, workers=0, precision="fp32")
CONFIG = replace(CLEAN, views=2)


def bytes_in(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in sorted(folder.glob("*.h5"))}


def by_view(folder: Path, split: str) -> dict[tuple[str, int], np.ndarray]:
    cache = FeatureCache(folder, split)
    return {(row.id, row.view): cache[i] for i, row in enumerate(cache.rows)}


def test_the_clean_pass_is_that_of_a_cache_without_views(run_extract: Run, tmp_path: Path) -> None:
    run_extract(config=CLEAN, out=tmp_path / "clean")
    run_extract(config=CONFIG, out=tmp_path / "views")
    for split in ("train", "dev"):
        clean, views = by_view(tmp_path / "clean", split), by_view(tmp_path / "views", split)
        assert all(np.array_equal(views[key], features) for key, features in clean.items())
        assert len(views) == len(clean) * (3 if split == "train" else 1)


def test_a_cache_without_views_says_nothing_of_them(run_extract: Run, tmp_path: Path) -> None:
    run_extract(config=replace(CLEAN, seed=5), out=tmp_path / "five")
    run_extract(config=CLEAN, out=tmp_path / "none")
    assert bytes_in(tmp_path / "five") == bytes_in(tmp_path / "none")
    assert "views" not in FeatureCache(tmp_path / "none").provenance.preprocessing


def test_views_differ_and_are_the_same_again(run_extract: Run, tmp_path: Path) -> None:
    run_extract(config=CONFIG, out=tmp_path / "first")
    run_extract(config=replace(CONFIG, workers=2), out=tmp_path / "again")
    assert bytes_in(tmp_path / "first") == bytes_in(tmp_path / "again")
    run_extract(config=replace(CONFIG, seed=1), out=tmp_path / "other")
    first, other = (by_view(tmp_path / name, "train") for name in ("first", "other"))
    passes = [first["train/2", view] for view in range(3)]
    assert not any(np.array_equal(passes[i], passes[j]) for i, j in ((0, 1), (0, 2), (1, 2)))
    assert np.array_equal(first["train/2", 0], other["train/2", 0])
    assert not np.array_equal(first["train/2", 1], other["train/2", 1])
    made_by = FeatureCache(tmp_path / "first").provenance.preprocessing["views"]
    assert (made_by["count"], made_by["seed"], made_by["augment"]["scale"]) == (2, 0, 0.2)


def test_rows_stand_in_order_with_their_phases(run_extract: Run, manifest: Manifest, tmp_path: Path) -> None:
    run_extract(config=CONFIG)
    rows = FeatureCache(tmp_path / "cache", "train").rows
    ids = [sample.id for sample in manifest.split("train")]
    assert [(row.id, row.view) for row in rows] == [(id_, view) for id_ in ids for view in range(3)]
    assert {row.frame_offset for row in rows if row.view == 0} == {0}
    assert {row.frame_offset for row in rows if row.view} == {0, 1}


def test_a_views_phase_is_one_of_trainings(manifest: Manifest) -> None:
    sampling = FrameSampling(stride=4, train_phases=(1, 3))
    views = views_of(manifest.samples, config=replace(CLEAN, views=3, phase=2), sampling=sampling)
    assert {view.frame_offset for view in views if view.number} == {1, 3}
    assert {view.frame_offset for view in views if not view.number} == {2}
    alone = views_of(manifest.samples[2:3], config=replace(CLEAN, views=3, phase=2), sampling=sampling)
    assert views[8:12] == alone  # whatever else is extracted


def test_threads_do_not_change_a_view() -> None:
    """Looked at before rounding, which hides all but one difference in thousands of clips."""
    frames = torch.randint(0, 256, (40, 3, 64, 64), generator=torch.Generator().manual_seed(0))
    results = []
    try:
        for threads in (1, 2, 3):
            torch.set_num_threads(threads)
            results.append(transforms._relight(frames.float(), draws=[0.1, 0.8], config=CONFIG.augment))
    finally:
        torch.set_num_threads(1)
    assert all(torch.equal(results[0], other) for other in results[1:])


@pytest.mark.parametrize("kept", [1, 5, 9])
def test_killed_after_any_view_and_resumed_gives_the_same_bytes(
    run_extract: Run, manifest: Manifest, tmp_path: Path, kept: int
) -> None:
    samples = [replace(s, video="nowhere") if s.id == "train/1" else s for s in manifest.samples]
    work: Run = partial(run_extract, manifest=replace(manifest, samples=tuple(samples)), config=CONFIG)
    work(out=tmp_path / "whole")
    assert _run_killed_after(kept, partial(work, out=tmp_path / "cache")) == -signal.SIGKILL
    resumed = work(out=tmp_path / "cache")
    assert [video.id for video in resumed.rejected] == ["train/1"]
    assert bytes_in(tmp_path / "cache") == bytes_in(tmp_path / "whole")


def _run_killed_after(rows: int, work: Callable[[], object]) -> int:
    """Run ``work`` in a fork that is killed after so many appended rows; return how it ended."""
    pid = os.fork()
    if pid == 0:
        append, count = ShardWriter.append, 0

        def append_and_die(*args: Any) -> None:
            nonlocal count
            append(*args)
            count += 1
            if count == rows:
                os.kill(os.getpid(), signal.SIGKILL)

        ShardWriter.append = append_and_die
        try:
            work()
        finally:
            os._exit(1)
    return os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])


def test_a_bad_picture_leaves_out_all_views_and_is_reported_once(
    run_extract: Run, manifest: Manifest, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Also where it lies in the phase of one view only."""
    folder = tmp_path / "bad"
    folder.mkdir()
    for number in range(4):
        Image.new("RGB", (20, 18)).save(folder / f"images{number:04}.png")
    (folder / "images0003.png").write_bytes(b"no picture")  # phase 1 of 0, 1
    samples = [replace(s, video=str(folder)) if s.id == "train/1" else s for s in manifest.samples]
    manifest = replace(manifest, root=manifest.root, samples=tuple(samples))
    (first, again) = (run_extract(manifest=manifest, config=CONFIG) for _ in range(2))
    assert [video.id for video in first.rejected] == [video.id for video in again.rejected] == ["train/1"]
    assert capsys.readouterr().err.count("train/1: ") == 1
    assert {row.id for row in FeatureCache(tmp_path / "cache", "train").rows} == {
        s.id for s in manifest.split("train") if s.id != "train/1"
    }


def test_views_are_not_further_clips(run_extract: Run, tmp_path: Path) -> None:
    assert run_extract(config=CONFIG).clips == 8
    summary = summarise(tmp_path / "cache")
    assert {split: (held["videos"], held["views"]) for split, held in summary["splits"].items()} == {
        "train": (6, 2), "dev": (2, 0),
    }  # fmt: skip
    assert "train: 6 videos in 1 shard(s), 2 augmented views of each, " in describe(summary)


def test_the_plan_tells_what_views_cost(manifest: Manifest, encoder: VisualEncoder, tmp_path: Path) -> None:
    extractions = {
        views: Extraction(
            manifest=manifest, encoder=encoder, fingerprint="3f2a", out=tmp_path,
            config=replace(CLEAN, views=views), device=torch.device("cpu"),
        )
        for views in (0, 2)
    }  # fmt: skip
    sizes = {views: sum(plan.size_bytes for plan in each.plans) for views, each in extractions.items()}
    content, text = describe_plan(extractions[2])
    assert content["views_bytes"] == sizes[2] - sizes[0] > 0
    assert "2 views of each training video add 0.00 GB" in text
    assert "views of" not in describe_plan(extractions[0])[1]


def test_finished_shards_of_other_views_are_refused(run_extract: Run) -> None:
    run_extract(config=CONFIG, splits=["train"])
    with pytest.raises(CacheError, match=r"preprocessing.views.augment.scale is 0.2 there and would be 0.1"):
        run_extract(
            config=replace(CONFIG, augment=replace(CONFIG.augment, scale=0.1)), splits=["train"]
        )  # fmt: skip
    with pytest.raises(CacheError, match=r"preprocessing.views.count is 2 there and would be 3 now"):
        run_extract(config=replace(CONFIG, views=3), splits=["train"])


def test_fewer_views_than_none_are_refused() -> None:
    with pytest.raises(ConfigError, match="views must be 0 or more, but is -1"):
        ExtractConfig(views=-1)


def test_every_view_of_a_clip_has_the_task_of_its_sample() -> None:
    clip = Sample(
        id="a", split="train", video="v.mp4", text="RAIN", language="de", num_frames=9, fps=25.0,
        task="isolated",
    )  # fmt: skip
    views = views_of([clip], config=CONFIG, sampling=FrameSampling(stride=2))
    assert [(view.row.view, view.row.task) for view in views] == [(n, "isolated") for n in range(3)]
