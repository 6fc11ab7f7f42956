"""Pose files beside videos and instead of videos: in tables, in corpora, and in Uni-Sign's label files."""

import gzip
import json
import os
import pickle
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from click.testing import CliRunner

from fla_llm.cli import fla
from fla_llm.core.errors import DataError
from fla_llm.core.files import read_jsonl
from fla_llm.corpora import read_manifest, write_manifest
from fla_llm.corpora.config import PrepareConfig
from fla_llm.corpora.prepare import Prepared, prepare

WriteVideo = Callable[..., None]


def write_poses(path: Path, *, count: int = 6, seen: float = 0.9, **more: Any) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    poses = np.random.default_rng(0).uniform(0, 1, (count, 133, 3))
    poses[..., 2] = seen
    np.savez(path, keypoints=poses, **more)


def prepared(corpus: str, source: Path, **settings: Any) -> Prepared:
    return prepare(corpus, source, config=PrepareConfig(**settings))


@pytest.fixture
def table(tmp_path: Path) -> Path:
    """Return a table of three clips with pose files alone."""
    rows = ["id,split,poses,text,fps"]
    for name in "abc":
        write_poses(tmp_path / f"poses/{name}.npz")
        rows.append(f"{name},train,poses/{name}.npz,One.,25")
    path = tmp_path / "table.csv"
    path.write_text("\n".join(rows) + "\n")
    return path


def test_a_table_without_videos(table: Path, tmp_path: Path) -> None:
    manifest = prepared("table", table).manifest
    sample = manifest.samples[0]
    assert (sample.video, sample.poses, sample.num_frames, sample.fps) == (None, "poses/a.npz", 6, 25.0)
    write_manifest(tmp_path / "m.jsonl", manifest)
    again = read_manifest(tmp_path / "m.jsonl")
    assert again == manifest
    assert again.file(sample, "poses") == tmp_path / "poses/a.npz"
    with pytest.raises(DataError, match=r"clip 'a' must have a video.*\n.*encoder\.kind=poses"):
        again.clip(sample)


def test_rows_of_jsonl_may_have_either(tmp_path: Path, write_video: WriteVideo) -> None:
    write_poses(tmp_path / "a.npz", fps=25)
    write_video(tmp_path / "b.mp4")
    rows = [
        {"id": "a", "split": "train", "poses": "a.npz", "text": "One."},
        {"id": "b", "split": "train", "video": "b.mp4", "text": "Two."},
    ]
    (tmp_path / "t.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    result = prepared("table", tmp_path / "t.jsonl")
    assert [(s.video, s.poses) for s in result.manifest.samples] == [(None, "a.npz"), ("b.mp4", None)]
    assert "without a pose file (1): b" in result.notes
    with pytest.raises(DataError, match=r"clip 'b' must have a pose file.*\n.*--poses DIR"):
        result.manifest.file(result.manifest.samples[1], "poses")


def test_a_table_with_neither_column(tmp_path: Path) -> None:
    (tmp_path / "t.csv").write_text("id,split,text\na,train,One.\n")
    with pytest.raises(DataError, match="lacks video"):
        prepared("table", tmp_path / "t.csv")


@pytest.mark.parametrize(
    ("fault", "reason", "detail"),
    [
        ("absent", "pose file cannot be used", "does not exist"),
        ("damaged", "pose file cannot be used", "whole .npz"),
        ("outside", "pose file cannot be used", "must stay inside"),
        ("empty", "no video", "names none"),
        ("nobody", "pose file cannot be used", "must show at least 4 points of the body"),
    ],
)
def test_rows_that_cannot_be_used_are_listed(table: Path, fault: str, reason: str, detail: str) -> None:
    file = table.parent / "poses/b.npz"
    if fault == "absent":
        file.unlink()
    elif fault == "damaged":
        file.write_bytes(file.read_bytes()[:500])
    elif fault == "nobody":
        write_poses(file, seen=0.1)
    else:
        place = "../b.npz" if fault == "outside" else ""
        table.write_text(table.read_text().replace("poses/b.npz", place))
    result = prepared("table", table, check="decode")
    assert [sample.id for sample in result.manifest.samples] == ["a", "c"]
    (row,) = result.rejected
    assert (row.id, row.reason) == ("b", reason)
    assert detail in row.detail
    assert result.has_faults


def test_pose_files_need_a_frame_rate(tmp_path: Path) -> None:
    write_poses(tmp_path / "a.npz")
    (tmp_path / "t.csv").write_text("id,split,poses,text\na,train,a.npz,One.\n")
    assert prepared("table", tmp_path / "t.csv").rejected[0].reason == "no frame rate"
    assert prepared("table", tmp_path / "t.csv", fps=24).manifest.samples[0].fps == 24


def test_corpora_find_pose_files_beside_videos(phoenix: Path, tmp_path: Path) -> None:
    poses = tmp_path / "poses"
    write_poses(poses / "heute-1.npz", count=3)
    write_poses(poses / "train/heute-2.npz", count=4)
    result = prepared("phoenix14t", phoenix, poses=str(poses))
    found = {sample.id: sample.poses for sample in result.manifest.samples}
    assert found["heute-1"] == str(poses / "heute-1.npz")
    assert found["heute-2"] == str(poses / "train/heute-2.npz")
    assert found["heute-3"] is None
    assert "pose files: 2 of 3 samples have one" in result.notes
    assert "without a pose file (1): heute-3" in result.notes
    lengths = "pose files with another number of frames than the video (1): heute-2 (4 poses, 3 frames)"
    assert lengths in result.notes
    assert "pose files by absolute paths, which --root does not change: 2" in result.notes


def test_corpora_need_no_videos_beside_pose_files(how2sign: Path) -> None:
    names = [sample.id for sample in prepared("how2sign", how2sign).manifest.samples]
    for file in how2sign.rglob("*.mp4"):
        file.unlink()
    for name in names:
        write_poses(how2sign / f"poses/{name}.npz")
    result = prepared("how2sign", how2sign, poses=str(how2sign / "poses"), fps=24)
    assert [sample.id for sample in result.manifest.samples] == names
    assert {(sample.video, sample.num_frames) for sample in result.manifest.samples} == {(None, 6)}
    assert result.manifest.samples[0].poses == f"poses/{names[0]}.npz"


def test_ids_cannot_lead_out_of_the_folder(tmp_path: Path) -> None:
    write_poses(tmp_path / "a.npz")
    (tmp_path / "poses").mkdir()
    (tmp_path / "t.csv").write_text("id,split,poses,text\n../a,train,,One.\n")
    (row,) = prepared("table", tmp_path / "t.csv", poses=str(tmp_path / "poses")).rejected
    assert "must stay inside" in row.detail


@pytest.mark.parametrize("media", [{"video": 3}, {"poses": ""}, {}])
def test_manifests_name_a_video_or_a_pose_file(table: Path, tmp_path: Path, media: dict[str, Any]) -> None:
    path = tmp_path / "m.jsonl"
    write_manifest(path, prepared("table", table).manifest)
    lines = read_jsonl(path)
    del lines[1]["poses"]
    path.write_text(
        "".join(json.dumps(line | (media if n == 1 else {})) + "\n" for n, line in enumerate(lines))
    )
    with pytest.raises(DataError, match="line 2"):
        read_manifest(path)


class Order:
    """Unpickles as a command of the shell."""

    def __reduce__(self) -> tuple[Any, ...]:
        return os.system, ("touch pwned",)


def write_labels(path: Path, labels: Any) -> None:
    path.write_bytes(gzip.compress(pickle.dumps(labels)))


def test_label_files_of_uni_sign(tmp_path: Path) -> None:
    text = {"name": "a", "video_path": "a.mp4", "text": "你好", "gloss": ["你", "好"]}
    write_labels(
        tmp_path / "labels.train", {"a": text, "b": {"name": "b", "video_path": "b.mp4", "gloss": ["你"]}}
    )
    write_labels(tmp_path / "labels.test", {"c": {**text, "name": "c"}, "d": {"name": 7}})
    for name in "abc":
        write_poses(tmp_path / f"pose_format/{name}.npz")
    result = prepared("uni-sign", tmp_path, poses=str(tmp_path / "pose_format"), fps=30, language="zh")
    samples = [(s.split, s.id, s.text, s.language, s.num_frames, s.task) for s in result.manifest.samples]
    assert samples == [
        ("train", "a", "你好", "zh", 6, "translate"),
        ("train", "b", "你", "zh", 6, "recognise"),  # it has glosses alone
        ("test", "c", "你好", "zh", 6, "translate"),
    ]
    assert "tasks: 2 translate, 1 recognise" in result.notes
    (row,) = result.rejected
    assert (row.split, row.id, row.detail) == (
        "test",
        "labels.test, label 2",
        "'name' must be text, but is int",
    )


@pytest.mark.parametrize(("task", "text"), [("recognise", "你 好"), ("isolated", "你好")])
def test_label_files_of_uni_sign_for_one_task(tmp_path: Path, task: Any, text: str) -> None:
    label = {"name": "a", "video_path": "a.mp4", "text": "你好", "gloss": ["你", "好"]}
    write_labels(tmp_path / "labels.test", {"a": label})
    write_poses(tmp_path / "pose_format/a.npz")
    result = prepared("uni-sign", tmp_path, poses=str(tmp_path / "pose_format"), fps=30, task=task)
    assert [(sample.task, sample.text) for sample in result.manifest.samples] == [(task, text)]


def test_labels_in_json(tmp_path: Path) -> None:
    write_poses(tmp_path / "p.npz", fps=25)
    labels = [{"video": f"{n}.mp4", "pose": "p.npz", "text": "你好"} for n in range(100)]
    (tmp_path / "CSL_News_Labels.json").write_text(json.dumps(labels))
    counts = prepared("uni-sign", tmp_path).manifest.counts
    assert counts == {"train": 99, "dev": 0, "test": 1}


def test_label_files_run_no_code(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    write_labels(tmp_path / "labels.train", {"a": Order()})
    with pytest.raises(DataError, match=r"asks for (posix|nt)\.system"):
        prepared("uni-sign", tmp_path)
    assert not (tmp_path / "pwned").exists()


def test_folders_without_one_label_file_per_split(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"must hold labels\.train"):
        prepared("uni-sign", tmp_path)
    for name in ("labels-100.train", "labels-2000.train"):
        write_labels(tmp_path / name, {})
    with pytest.raises(DataError, match=r"labels-100\.train, labels-2000\.train"):
        prepared("uni-sign", tmp_path)


def test_the_option_names_a_folder_that_exists(table: Path, tmp_path: Path) -> None:
    arguments = ["prepare", "table", str(table), "--out", str(tmp_path / "m.jsonl")]
    result = CliRunner().invoke(fla, [*arguments, "--poses", str(tmp_path / "poses")])
    assert result.exit_code == 0, result.output
    assert "pose files: 3 of 3 samples have one" in result.output
    absent = CliRunner().invoke(fla, [*arguments, "--poses", str(tmp_path / "no")])
    assert "--poses must be the folder of pose files" in str(absent.exception)
    demo = CliRunner().invoke(fla, ["prepare", "demo", str(tmp_path / "d"), "--out", "m", "--poses", "x"])
    assert "--poses must go with files that exist" in str(demo.exception)
