import shutil
from pathlib import Path

import pytest

from fla_llm.core.errors import DataError
from fla_llm.corpora.config import PrepareConfig
from fla_llm.corpora.prepare import Prepared, prepare


def prepared(source: Path) -> Prepared:
    return prepare("csl-daily", source, config=PrepareConfig())


def test_folders_and_videos_are_read(csl: Path) -> None:
    first, second = prepared(csl).manifest.samples
    assert (first.text, first.language, first.signer, first.fps) == ("对不起！", "zh", "P0000", 30.0)
    assert (first.num_frames, second.num_frames) == (3, 6)
    assert second.video == "sentence/frames_512x512/S000002_P0004_T00.mp4"
    assert second.fps == 30.0


def test_known_gaps_are_listed_and_no_faults(csl: Path) -> None:
    result = prepared(csl)
    assert {(row.id, row.reason) for row in result.rejected} == {
        ("S000003_P0000_T00", "empty sentence"),
        ("S000005_P0004_T00", "no sentence"),
        ("S000007_P0003_T00", "in no split"),
    }
    assert not result.has_faults


def test_a_field_may_begin_with_a_quotation_mark(csl: Path) -> None:
    for name, changes in {
        "video_map.txt": ("对 不 起", '"对 不 起'),
        "split_1.txt": ("S0000", '"S0000'),
    }.items():
        path = csl / "sentence_label" / name
        path.write_text(path.read_text(encoding="utf-8").replace(*changes), encoding="utf-8")
    assert {row.id for row in prepared(csl).rejected} >= {'"S000001_P0000_T00', '"S000002_P0004_T00'}
    path = csl / "sentence_label/split_1.txt"
    path.write_text(path.read_text().replace('"', ""))
    assert prepared(csl).manifest.samples[0].text == '"对不起！'


def test_no_row_of_either_file_is_lost(csl: Path) -> None:
    result = prepared(csl)
    assert len(result.manifest.samples) + len(result.rejected) == 5


def test_the_files_may_lie_in_the_release_itself(csl: Path) -> None:
    for path in list((csl / "sentence_label").iterdir()):
        shutil.move(path, csl / path.name)
    assert len(prepared(csl).manifest.samples) == 2


@pytest.mark.parametrize("layout", ["sentence_frames-512x512/frames_512x512", "frames_512x512", "videos"])
def test_clips_are_found_in_the_known_layouts(csl: Path, layout: str) -> None:
    shutil.copytree(csl / "sentence/frames_512x512", csl / layout)
    shutil.rmtree(csl / "sentence")
    assert prepared(csl).manifest.samples[0].video == f"{layout}/S000001_P0000_T00"


def test_without_any_folder_of_clips_the_paths_tried_are_named(csl: Path) -> None:
    shutil.rmtree(csl / "sentence")
    result = prepared(csl)
    assert any("tried sentence/frames_512x512, sentence_frames-512x512/" in note for note in result.notes)
    assert result.empty_splits == ("train", "test")


def test_a_sentence_that_is_not_there_is_a_fault(csl: Path) -> None:
    path = csl / "sentence_label/split_1.txt"
    path.write_bytes(path.read_bytes() + b"S000009_P0000_T00|train\r\nS000001_P0000_T01|trian\r\n")
    rejected = {row.id: row for row in prepared(csl).rejected if row.fault}
    assert rejected["S000009_P0000_T00"].detail == "not in video_map.txt"
    assert "'trian' is none of train, dev, test. Did you mean 'train'" in rejected["S000001_P0000_T01"].detail


def test_a_missing_file_is_named(csl: Path) -> None:
    (csl / "sentence_label/split_1.txt").unlink()
    with pytest.raises(
        DataError, match="holds no split_1.txt; tried sentence_label/split_1.txt, split_1.txt"
    ):
        prepared(csl)


def test_the_real_excerpt_is_read(shared_data: Path) -> None:
    result = prepared(shared_data / "csl-daily")
    assert result.annotated == {"train": 56, "dev": 2, "test": 1}
    assert [row.id for row in result.rejected if not row.fault] == ["S000007_P0003_T00"]


def test_a_file_cut_off_amid_a_character_is_refused_with_its_place(csl: Path) -> None:
    path = csl / "sentence_label/video_map.txt"
    cut = path.read_bytes().index("对".encode()) + 1
    path.write_bytes(path.read_bytes()[:cut])
    with pytest.raises(
        DataError, match=rf"video_map.txt must be UTF-8, but byte {cut - 1} \(line 2\) is not"
    ):
        prepared(csl)


def test_the_real_truncated_file_is_refused_with_its_place(shared_data: Path, tmp_path: Path) -> None:
    shutil.copy(shared_data / "csl-daily/video_map.truncated.txt", tmp_path / "video_map.txt")
    shutil.copy(shared_data / "csl-daily/split_1.txt", tmp_path)
    with pytest.raises(DataError, match=r"video_map.txt must be UTF-8, but byte 1579 \(line 21\) is not"):
        prepared(tmp_path)
