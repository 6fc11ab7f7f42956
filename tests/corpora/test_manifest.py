import json
from pathlib import Path

import pytest

from fla_llm.core.errors import DataError
from fla_llm.core.sample import Sample
from fla_llm.corpora import Manifest, read_manifest, write_manifest


@pytest.fixture
def manifest(tmp_path: Path) -> Manifest:
    def sample(name: str, split: str, **more: object) -> Sample:
        return Sample(
            id=name, split=split, video=f"v/{name}.mp4", text="天气\u2028 „gut“", language="zh", num_frames=5,
            fps=25.0, **more,
        )  # fmt: skip

    samples = (
        sample("a/1", "train"),
        sample("a/2", "train", signer="ada", start_seconds=0.5, end_seconds=1.25),
        sample("a/1", "test", references=("Wetter \u2028", "好")),
    )
    return Manifest(corpus="table", root=tmp_path, samples=samples)


@pytest.fixture
def path(tmp_path: Path, manifest: Manifest) -> Path:
    path = tmp_path / "manifest.jsonl"
    write_manifest(path, manifest)
    return path


def edit(path: Path, line: int, **changes: object) -> None:
    rows = [json.loads(text) for text in path.read_text(encoding="utf-8").split("\n") if text]
    rows[line - 1] = {key: value for key, value in {**rows[line - 1], **changes}.items() if value is not ...}
    path.write_text("\n".join(json.dumps(row) for row in rows) + "\n", encoding="utf-8")


def test_reading_gives_what_was_written(path: Path, manifest: Manifest) -> None:
    assert read_manifest(path) == manifest


def test_the_header_counts_the_splits(path: Path) -> None:
    header = json.loads(path.read_text(encoding="utf-8").split("\n")[0])
    assert header["counts"] == {"train": 2, "dev": 0, "test": 1}


def test_the_limit_is_per_split(path: Path) -> None:
    assert [(s.split, s.id) for s in read_manifest(path, limit=1).samples] == [
        ("train", "a/1"),
        ("test", "a/1"),
    ]


def test_another_root_can_be_given(path: Path, tmp_path: Path, manifest: Manifest) -> None:
    (tmp_path / "moved").mkdir()
    moved = read_manifest(path, root=tmp_path / "moved")
    assert moved.clip(moved.samples[0]).path == tmp_path / "moved/v/a/1.mp4"


def test_clips_carry_their_times(manifest: Manifest) -> None:
    clip = manifest.clip(manifest.samples[1])
    assert (clip.start_seconds, clip.end_seconds) == (0.5, 1.25)


def test_a_root_elsewhere_is_named_with_the_remedy(path: Path) -> None:
    moved = read_manifest(path, root=Path("/nowhere"))
    with pytest.raises(DataError, match=r"/nowhere, but that is no folder.\nGive --root"):
        moved.clip(moved.samples[0])


def test_a_clip_stays_inside_the_root(path: Path) -> None:
    edit(path, 2, video="../../secret.mp4")
    manifest = read_manifest(path)
    with pytest.raises(DataError, match="must stay inside"):
        manifest.clip(manifest.samples[0])


def test_an_unknown_split_is_refused(manifest: Manifest) -> None:
    with pytest.raises(DataError, match="'tst'. Did you mean 'test'"):
        manifest.split("tst")


@pytest.mark.parametrize(
    ("line", "changes", "message"),
    [
        (1, {"format": "other"}, "must begin with a header of format 'fla-manifest-1', but has 'other'"),
        (1, {"format": ...}, "but has no 'format'"),
        (1, {"root": 3}, "line 1: 'root' must be text, but is 3"),
        (1, {"counts": {"train": 9, "dev": 0, "test": 1}}, "was cut off or edited"),
        (3, {"txt": "a"}, "line 3 has the unknown key 'txt'. Did you mean 'text'"),
        (3, {"fps": ...}, "line 3 must have the key 'fps'"),
        (3, {"fps": 0}, "line 3: 'fps' must be a number of frames per second above 0, but is 0"),
        (3, {"num_frames": True}, "line 3: 'num_frames' must be a whole number of frames, at least 1"),
        (3, {"text": " "}, "line 3: 'text' must be text that is not empty"),
        (3, {"start_seconds": -1}, "line 3: 'start_seconds' must be a number of seconds, but is -1"),
        (3, {"references": "one"}, "line 3: 'references' must be a list of texts, but is 'one'"),
        (3, {"references": ["a", " "]}, "line 3: 'references' must be a list of texts"),
        (3, {"split": "tran"}, "but is 'tran'. Did you mean 'train'"),
        (3, {"text": "wind \ud83d"}, "line 3: 'text' must be without U[+]D83D, half .* at character 6"),
        (3, {"signer": "\0"}, "line 3: 'signer' must be without U[+]0000 at character 1"),
        (3, {"video": "\udc80.mp4"}, "line 3: 'video' must be without U[+]DC80"),
        (3, {"fps": float("nan")}, "line 3: 'fps' must be a number of frames per second above 0, but is nan"),
        (1, {"root": "D\udce4ten"}, "line 1: 'root' must be without U[+]DCE4"),
        (3, {"id": "a/1"}, "line 3: the id 'a/1' must occur once in train, but stands in line 2 too"),
    ],
)
def test_a_wrong_line_is_named(path: Path, line: int, changes: dict[str, object], message: str) -> None:
    edit(path, line, **changes)
    with pytest.raises(DataError, match=message):
        read_manifest(path)


def test_a_manifest_cut_off_is_refused(path: Path) -> None:
    lines = path.read_text(encoding="utf-8").split("\n")
    path.write_text("\n".join(lines[:-2]), encoding="utf-8")
    with pytest.raises(DataError, match=r"must hold .* samples by its first line"):
        read_manifest(path)


@pytest.mark.parametrize(("content", "message"), [("", "is empty"), ("{", "line 1 must be JSON")])
def test_what_is_no_manifest_is_refused(tmp_path: Path, content: str, message: str) -> None:
    path = tmp_path / "m.jsonl"
    path.write_text(content)
    with pytest.raises(DataError, match=message):
        read_manifest(path)


def test_an_empty_manifest_is_refused(tmp_path: Path) -> None:
    write_manifest(tmp_path / "m.jsonl", Manifest(corpus="table", root=tmp_path, samples=()))
    with pytest.raises(DataError, match="holds no sample"):
        read_manifest(tmp_path / "m.jsonl")


def test_a_task_is_kept_and_the_default_leaves_no_trace(path: Path, manifest: Manifest) -> None:
    assert '"task"' not in path.read_text(encoding="utf-8")
    edit(path, 3, task="recognise")
    read = read_manifest(path)
    assert [sample.task for sample in read.samples] == ["translate", "recognise", "translate"]
    write_manifest(path, read)
    assert read_manifest(path) == read
    for wrong in ("translte", None):
        edit(path, 2, task=wrong)
        with pytest.raises(DataError, match="line 2: 'task' must be one of translate, recognise, isolated"):
            read_manifest(path)
