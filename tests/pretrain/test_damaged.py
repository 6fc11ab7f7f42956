"""Clips that open and are damaged inside: left out, listed, recorded, and the run goes on."""

import json
import shutil
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import av
import pytest
from click.testing import CliRunner

from fla_llm.cli import fla
from fla_llm.core.errors import DataError
from fla_llm.corpora.manifest import Manifest, write_manifest
from fla_llm.encoder.store import fingerprint
from fla_llm.pretrain.data import TrainingClips
from fla_llm.pretrain.frames import FrameStore
from fla_llm.pretrain.train import pretrain

Make = Callable[..., Any]


def damage(video: Path) -> None:
    """Overwrite a packet in the middle: the file is counted as before, and cannot be decoded to its end."""
    with av.open(str(video)) as container:
        packets = [(packet.pos, packet.size) for packet in container.demux(video=0) if packet.size]
    start, size = packets[len(packets) // 2]
    content = bytearray(video.read_bytes())
    content[start + 5 : start + size] = bytes(size - 5)
    video.write_bytes(content)


@pytest.fixture
def damaged(corpus: Manifest, tmp_path: Path) -> Callable[[Sequence[str]], Manifest]:
    """Return a function that returns the corpus with some clips damaged."""

    def make(ids: Sequence[str]) -> Manifest:
        root = tmp_path / "damaged"
        shutil.copytree(corpus.root, root)
        for name in ids:
            damage(root / f"{name}.mp4")
        manifest = replace(corpus, root=root)
        write_manifest(root / "manifest.jsonl", manifest)
        return manifest

    return make


@pytest.mark.parametrize(("gib", "found"), [(0.0, []), (1.0, ["train/0"])])
def test_damage_inside_is_found_where_a_clip_is_decoded(
    damaged: Callable[..., Manifest], tiny_config: Make, gib: float, found: list[str]
) -> None:
    manifest, config = damaged(["train/0"]), tiny_config().encoder
    store, samples = FrameStore(manifest, config), manifest.split("train")
    assert [clip.id for clip in store.keep(samples, phases=(0,), gib=gib)] == found
    with pytest.raises(DataError, match="is damaged"):
        store.read(samples[0], phase=0)


def test_a_run_goes_on_without_damaged_clips_and_ends_with_one(
    damaged: Callable[..., Manifest], tiny_yaml: Path, tmp_path: Path
) -> None:
    ids = ["dev/1", "train/0", "train/4"]
    root = damaged(ids).root
    run = ["pretrain", "--manifest", str(root / "manifest.jsonl"), "--out", str(tmp_path / "run"), "--json"]
    run += ["--config", str(tiny_yaml), "--device", "cpu", "--set", "keep_frames_gib=0"]
    run += ["--set", "training.batch_clips=1"]  # so that two batches hold damaged clips alone
    result = CliRunner().invoke(fla, run, catch_exceptions=False)
    assert result.exit_code == 1
    told = json.loads(result.stdout)
    assert sorted(clip["id"] for clip in told["unreadable"]) == ids
    assert all("is damaged" in clip["reason"] for clip in told["unreadable"])
    assert (told["train_clips"], told["dev_clips"]) == (10, 2)  # of 12 and 3
    assert all(f"clip '{name}' is left out" in result.stderr for name in ids)
    assert json.loads((tmp_path / "run/run.json").read_text())["unreadable"] == told["unreadable"]
    predictions = (tmp_path / "run/predictions-dev.jsonl").read_text().splitlines()
    assert [json.loads(line)["id"] for line in predictions] == ["dev/0", "dev/2"]


@pytest.mark.parametrize("gib", [0.0, 1.0])
def test_clips_that_are_damaged_or_mended_while_a_run_is_interrupted_do_not_stop_its_resume(
    corpus: Manifest,
    damaged: Callable[..., Manifest],
    tiny_config: Make,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    gib: float,
) -> None:
    """Batches and vocabulary stay those that the run was begun with."""
    config, manifest = tiny_config(keep_frames_gib=gib), damaged([])
    gone, later = manifest.root / "train/3.mp4", manifest.root / "train/7.mp4"
    gone.unlink()
    get = TrainingClips.get

    def killed(self: TrainingClips, index: int, epoch: int) -> Any:
        if epoch == 1:
            raise KeyboardInterrupt
        return get(self, index, epoch)

    with monkeypatch.context() as patch:
        patch.setattr(TrainingClips, "get", killed)
        with pytest.raises(KeyboardInterrupt):
            pretrain(manifest, config=config, out=tmp_path / "run", device="cpu")
    shutil.copyfile(corpus.root / "train/3.mp4", gone)
    later.unlink()
    result = pretrain(manifest, config=config, out=tmp_path / "run", resume=True, device="cpu")
    assert [clip.id for clip in result.unreadable] == ["train/3", "train/7"]
    assert result.train_clips == 10
    again = pretrain(manifest, config=config, out=tmp_path / "run", resume=True, device="cpu")
    assert [clip.id for clip in again.unreadable] == ["train/3", "train/7"]
    assert fingerprint(again.run) == fingerprint(result.run)


def test_without_a_readable_dev_clip_the_last_must_be_asked_for(
    damaged: Callable[..., Manifest], tiny_config: Make, tmp_path: Path
) -> None:
    manifest = damaged(["dev/0", "dev/1", "dev/2"])
    with pytest.raises(DataError, match=r"No dev clip can be read. The first: .*(\n.*)*training.select=last"):
        pretrain(manifest, config=tiny_config(), out=tmp_path / "run", device="cpu")
