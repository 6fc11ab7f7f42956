"""A folder with pictures is one clip; any other stands for the clips in it, in natural order."""

from pathlib import Path

import pytest

from fla_llm.core.errors import DataError
from fla_llm.video import list_clips


def fill(folder: Path, *names: str) -> Path:
    for name in names:
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).touch()
    return folder


def names(folder: Path) -> list[str]:
    return [str(clip.relative_to(folder)) for clip in list_clips(folder)]


def test_a_path_that_is_no_folder_is_itself(tmp_path: Path) -> None:
    for path in (fill(tmp_path, "clip.bin") / "clip.bin", tmp_path / "nowhere"):
        assert list_clips(path) == [path]


def test_a_folder_of_pictures_is_one_clip(tmp_path: Path) -> None:
    assert names(fill(tmp_path, "1.png", "2.PNG", "notes.txt", ".hidden.mp4")) == ["."]


def test_a_folder_of_videos_is_each_of_them_in_natural_order(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    fill(tmp_path, "10.mp4", "2.MOV", "3/1.jpg", ".DS_Store", "readme.txt", "deeper/a/1.png")
    assert names(tmp_path) == ["2.MOV", "3", "10.mp4"]
    said = capsys.readouterr().err
    assert [Path(line.split(" is passed over")[0]).name for line in said.splitlines()] == [
        "deeper",
        "readme.txt",
    ]


def test_what_may_mean_two_things_or_none_is_refused(tmp_path: Path) -> None:
    with pytest.raises(
        DataError, match=r"both must hold pictures .* or videos, but holds both, such as a.mp4"
    ):
        list_clips(fill(tmp_path / "both", "1.png", "a.mp4"))
    with pytest.raises(DataError, match=r"none must hold videos .*\.mp4 .* or pictures .*, but has none"):
        list_clips(fill(tmp_path / "none", "a.txt", "b/c.txt"))
