"""``fla shrink``: every clip is copied or listed, and a stopped run goes on to the same bytes."""

import json
import os
import signal
import time
from dataclasses import replace
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from fla_llm.cli import fla
from fla_llm.core.errors import ConfigError, DataError
from fla_llm.core.sample import Sample
from fla_llm.corpora import Manifest, read_manifest, write_manifest
from fla_llm.corpora.config import PrepareConfig, ShrinkConfig
from fla_llm.corpora.prepare import prepare
from fla_llm.corpora.shrink import MANIFEST, REJECTED, UNFINISHED, copy_path, shrink
from fla_llm.video import FrameSampling, read_frames

PATIENCE_SECONDS = 60


@pytest.fixture
def manifest(tmp_path: Path, table: Path) -> Manifest:
    return prepare("table", table, config=PrepareConfig()).manifest


def contents(folder: Path) -> dict[str, bytes]:
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def run(*arguments: object) -> Result:
    return CliRunner().invoke(fla, ["shrink", *(str(argument) for argument in arguments)])


@pytest.mark.parametrize("corpus", ["phoenix", "csl", "how2sign", "table"])
def test_copies_stand_for_the_videos(corpus: str, request: pytest.FixtureRequest, tmp_path: Path) -> None:
    source = request.getfixturevalue(corpus)
    name = {"phoenix": "phoenix14t", "csl": "csl-daily"}.get(corpus, corpus)
    config = PrepareConfig(media="videos") if corpus == "how2sign" else PrepareConfig()
    originals = prepare(name, source, config=config).manifest
    samples = tuple(replace(sample, task="isolated") for sample in originals.samples)
    originals = replace(originals, samples=samples)
    result = shrink(originals, tmp_path / "small", config=ShrinkConfig())
    copies = read_manifest(tmp_path / "small" / MANIFEST)
    assert copies == result.manifest
    assert not result.rejected
    assert (copies.corpus, copies.counts) == (originals.corpus, originals.counts)
    for old, new in zip(originals.samples, copies.samples, strict=True):
        # All but the place of the clip stays: a cut has become a file of its own.
        assert replace(new, video=old.video, start_seconds=None, end_seconds=None) == replace(
            old, start_seconds=None, end_seconds=None
        )
        one, other = (
            read_frames(m.clip(sample), sampling=FrameSampling(stride=2), phase=1, size=16).astype(int)
            for m, sample in ((originals, old), (copies, new))
        )
        assert one.shape == other.shape
        assert abs(one - other).mean() < 6


def test_a_second_run_writes_nothing_anew(manifest: Manifest, tmp_path: Path) -> None:
    first = shrink(manifest, tmp_path / "small", config=ShrinkConfig())
    before = {path: path.stat().st_mtime_ns for path in (tmp_path / "small/videos").rglob("*.mp4")}
    second = shrink(manifest, tmp_path / "small", config=ShrinkConfig(workers=1))
    assert before == {path: path.stat().st_mtime_ns for path in (tmp_path / "small/videos").rglob("*.mp4")}
    assert (first.earlier, second.earlier, second.manifest) == (0, 2, first.manifest)


@pytest.fixture
def longer(manifest: Manifest, write_video) -> Manifest:
    """Return a manifest of 6 clips that take a while."""
    clips = []
    for number in range(6):
        write_video(manifest.root / f"videos/{number}.mp4", count=40)
        clips.append(
            replace(manifest.samples[0], id=f"{number}", video=f"videos/{number}.mp4", num_frames=40)
        )
    return replace(manifest, samples=tuple(clips))


@pytest.mark.parametrize("copies_before", [0, 3])
def test_a_killed_run_goes_on_to_the_same_bytes(longer: Manifest, tmp_path: Path, copies_before: int) -> None:
    whole, stopped = tmp_path / "whole", tmp_path / "stopped"
    shrink(longer, whole, config=ShrinkConfig())
    pid = os.fork()
    if pid == 0:
        signal.alarm(PATIENCE_SECONDS)
        shrink(longer, stopped, config=ShrinkConfig(workers=1))
        os._exit(0)
    while (
        len(list((stopped / "videos").rglob("*.mp4"))) < copies_before or not (stopped / UNFINISHED).exists()
    ):
        time.sleep(0.002)
    os.kill(pid, signal.SIGKILL)
    os.waitpid(pid, 0)
    assert not (stopped / MANIFEST).exists()
    result = shrink(longer, stopped, config=ShrinkConfig())
    assert result.earlier >= copies_before
    assert sorted(contents(stopped)) == sorted(contents(whole))
    for name, content in contents(whole).items():
        assert contents(stopped)[name].replace(b"stopped", b"whole") == content, name


def test_a_run_that_was_killed_before_its_first_file_goes_on(longer: Manifest, tmp_path: Path) -> None:
    whole, stopped = tmp_path / "whole", tmp_path / "stopped"
    shrink(longer, whole, config=ShrinkConfig())
    (stopped / UNFINISHED).mkdir(parents=True)
    (stopped / ".copies.json.7.tmp").write_text("{")
    shrink(longer, stopped, config=ShrinkConfig())
    assert sorted(contents(stopped)) == sorted(contents(whole))


def test_a_damaged_or_absent_clip_is_listed_and_the_others_are_copied(
    manifest: Manifest, tmp_path: Path
) -> None:
    write_manifest(tmp_path / "manifest.jsonl", manifest)
    path = manifest.path(manifest.samples[0])
    path.write_bytes(path.read_bytes()[:-200])
    found = run("--manifest", tmp_path / "manifest.jsonl", "--out", tmp_path / "small", "--json")
    assert found.exit_code == 1
    content = json.loads(found.stdout)
    assert content["copied"] + len(content["rejected"]) == len(manifest.samples) == 2
    assert [(row["split"], row["id"]) for row in content["rejected"]] == [("train", "x/1")]
    listed = (tmp_path / "small" / REJECTED).read_text()
    assert "x/1" in listed
    assert [s.id for s in read_manifest(tmp_path / "small" / MANIFEST).samples] == ["x/2"]
    # The file comes back: the list goes.
    path.write_bytes(manifest.path(manifest.samples[1]).read_bytes())
    assert run("--manifest", tmp_path / "manifest.jsonl", "--out", tmp_path / "small").exit_code == 0
    assert not (tmp_path / "small" / REJECTED).exists()


@pytest.mark.parametrize(
    "name", ["../../etc/x", "/etc/passwd", "a/../..", ".hidden", "-rf", "é" * 300, "CON"]
)
def test_no_id_leads_out_of_the_folder(manifest: Manifest, tmp_path: Path, name: str) -> None:
    only = replace(manifest, samples=(replace(manifest.samples[0], id=name),))
    result = shrink(only, tmp_path / "small", config=ShrinkConfig())
    (path,) = (tmp_path / "small/videos").rglob("*.*")
    assert path == tmp_path / "small" / result.manifest.samples[0].video
    assert path.parent == tmp_path / "small/videos/train"
    assert not path.name.startswith((".", "-"))


def test_ids_that_look_alike_and_other_cuts_have_files_of_their_own(manifest: Manifest) -> None:
    first = manifest.samples[0]
    samples: list[Sample] = [
        replace(first, **change)  # type: ignore[arg-type]
        for change in [
            {"id": "a/b"}, {"id": "a_b"}, {"id": "A_b"}, {"id": "a b"}, {"id": "a/b", "start_seconds": 0.1},
            {"id": "a/b", "video": "other.mp4"}, {"id": "a/b", "split": "dev"},
        ]
    ]  # fmt: skip
    assert len({copy_path(sample).lower() for sample in samples}) == len(samples)


def test_copies_by_other_settings_do_not_mix(manifest: Manifest, tmp_path: Path) -> None:
    shrink(manifest, tmp_path / "small", config=ShrinkConfig())
    with pytest.raises(DataError, match="Give the settings as they were, or another --out"):
        shrink(manifest, tmp_path / "small", config=ShrinkConfig(crf=30))
    (tmp_path / "other").mkdir()
    (tmp_path / "other/notes.txt").touch()
    with pytest.raises(DataError, match="holds other files"):
        shrink(manifest, tmp_path / "other", config=ShrinkConfig())
    copies = read_manifest(tmp_path / "small" / MANIFEST)
    with pytest.raises(
        DataError, match=r"must be of the released videos, but is of small copies of 256 pixels"
    ):
        shrink(copies, tmp_path / "smaller", config=ShrinkConfig())


def test_the_manifest_says_how_its_videos_were_made(manifest: Manifest, tmp_path: Path) -> None:
    shrink(manifest, tmp_path / "small", config=ShrinkConfig(size=64, crf=25))
    path = tmp_path / "small" / MANIFEST
    header = json.loads(path.read_text().split("\n")[0])
    assert (header["copies"]["size"], header["copies"]["crf"]) == (64, 25)
    copies = read_manifest(path).copies
    assert copies is not None
    assert str(copies) == "small copies of 64 pixels (libx264, crf 25)"
    for wrong, error in [({**header["copies"], "crv": 1}, ConfigError), (3, DataError), ({}, ConfigError)]:
        lines = path.read_text().split("\n")
        (tmp_path / "wrong.jsonl").write_text(
            "\n".join([json.dumps({**header, "copies": wrong}), *lines[1:]])
        )
        with pytest.raises(error, match="wrong.jsonl, line 1"):
            read_manifest(tmp_path / "wrong.jsonl")


def test_an_absent_root_is_one_error(manifest: Manifest, tmp_path: Path) -> None:
    for root in (tmp_path / "nowhere", tmp_path / "small"):
        with pytest.raises(DataError, match="Give --root"):
            shrink(replace(manifest, root=root), tmp_path / "out", config=ShrinkConfig())
        (tmp_path / "small").mkdir(exist_ok=True)
    assert not (tmp_path / "out").exists()


def test_a_dry_run_leaves_nothing(manifest: Manifest, tmp_path: Path) -> None:
    write_manifest(tmp_path / "manifest.jsonl", manifest)
    found = run("--manifest", tmp_path / "manifest.jsonl", "--out", tmp_path / "small", "--dry-run")
    assert (found.exit_code, found.stdout) == (0, f"would copy 2 clips into {tmp_path / 'small'}\n")
    assert not (tmp_path / "small").exists()


def test_pose_files_stay_and_clips_of_poses_alone_are_listed(manifest: Manifest, tmp_path: Path) -> None:
    first, second = manifest.samples
    mixed = replace(
        manifest,
        samples=(replace(first, poses="poses/a.npz"), replace(second, video=None, poses="poses/b.npz")),
    )
    result = shrink(mixed, tmp_path / "small", config=ShrinkConfig())
    (copy,) = result.manifest.samples
    assert result.manifest.path(copy, "poses") == manifest.root / "poses/a.npz"
    assert [(row.id, "must have a video" in row.detail) for row in result.rejected] == [(second.id, True)]
