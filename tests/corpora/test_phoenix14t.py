import shutil
from pathlib import Path

import pytest

from fla_llm.core.errors import DataError
from fla_llm.corpora.config import PrepareConfig
from fla_llm.corpora.prepare import Prepared, prepare


def prepared(source: Path) -> Prepared:
    return prepare("phoenix14t", source, config=PrepareConfig())


def test_the_release_is_read(phoenix: Path) -> None:
    result = prepared(phoenix)
    first = result.manifest.samples[0]
    assert (first.id, first.split, first.language, first.fps) == ("heute-1", "train", "de", 25.0)
    assert (first.num_frames, first.signer) == (3, "Signer01")
    assert first.text == 'und "heute der regen heute-1'  # a lone quotation mark is a character like others
    assert result.official == {"train": 7096, "dev": 519, "test": 642}


def test_a_field_may_begin_with_a_quotation_mark(phoenix: Path) -> None:
    path = phoenix / "PHOENIX-2014-T/annotations/manual/PHOENIX-2014-T.train.corpus.csv"
    path.write_text(path.read_text().replace('und "heute', '"heute'))
    assert [s.text for s in prepared(phoenix).manifest.split("train")] == [
        '"heute der regen heute-1',
        '"heute der regen heute-2',
    ]


def test_inner_and_outer_folder_give_the_same_clips(phoenix: Path) -> None:
    outer, inner = prepared(phoenix).manifest, prepared(phoenix / "PHOENIX-2014-T").manifest
    around = prepared(phoenix.parent).manifest
    clips = [[m.clip(sample).path for sample in m.samples] for m in (outer, inner, around)]
    assert clips[0] == clips[1] == clips[2]


def test_frames_may_lie_in_the_announced_folder_1(phoenix: Path) -> None:
    clip = phoenix / "PHOENIX-2014-T/features/fullFrame-210x260px/dev/heute-3"
    shutil.move(clip, clip.parent / "1")
    shutil.move(clip.parent / "1", clip / "1")
    assert prepared(phoenix).manifest.split("dev")[0].video.endswith("dev/heute-3/1")


def test_a_split_without_annotation_is_noted_and_no_fault(phoenix: Path) -> None:
    result = prepared(phoenix)
    assert not result.has_faults
    assert any(note.startswith("test: no PHOENIX-2014-T/annotations/manual") for note in result.notes)


def test_missing_frames_are_listed_with_the_paths_tried(phoenix: Path) -> None:
    shutil.rmtree(phoenix / "PHOENIX-2014-T/features/fullFrame-210x260px/train/heute-2")
    (row,) = prepared(phoenix).rejected
    assert (row.id, row.reason, row.fault) == ("heute-2", "no video", True)
    assert "train/heute-2/1, " in row.detail
    assert row.detail.endswith("train/heute-2")


def test_an_annotated_split_without_a_usable_row_is_a_fault(phoenix: Path) -> None:
    path = phoenix / "PHOENIX-2014-T/annotations/manual/PHOENIX-2014-T.dev.corpus.csv"
    path.write_text(path.read_text().split("\n")[0])
    result = prepared(phoenix)
    assert result.empty_splits == ("dev",)
    assert result.has_faults


def test_a_folder_that_is_no_release_is_refused(tmp_path: Path) -> None:
    with pytest.raises(
        DataError, match="must be the folder PHOENIX-2014-T-release-v3, but holds none of ann"
    ):
        prepared(tmp_path)


def test_an_annotation_cut_off_names_the_line(phoenix: Path) -> None:
    path = phoenix / "PHOENIX-2014-T/annotations/manual/PHOENIX-2014-T.train.corpus.csv"
    path.write_bytes(path.read_bytes()[:-60])
    with pytest.raises(DataError, match=r"train.corpus.csv, line 3 must have 7 fields, but has \d"):
        prepared(phoenix)


def test_a_wrong_column_is_named(phoenix: Path) -> None:
    path = phoenix / "PHOENIX-2014-T/annotations/manual/PHOENIX-2014-T.train.corpus.csv"
    path.write_text(path.read_text().replace("translation", "translations"))
    with pytest.raises(DataError, match=r"lacks translation; .* Did you mean 'translations'"):
        prepared(phoenix)


def test_the_real_release_is_read(shared_data: Path) -> None:
    result = prepared(shared_data / "phoenix14t/PHOENIX-2014-T-release-v3")
    assert [sample.num_frames for sample in result.manifest.samples] == [2, 2, 2]
    assert not result.has_faults
    assert any("25October_2010_Monday_tagesschau-17 (train, dev, test)" in note for note in result.notes)


def test_the_official_test_annotation_has_642_rows(shared_data: Path, tmp_path: Path) -> None:
    folder = tmp_path / "annotations/manual"
    folder.mkdir(parents=True)
    shutil.copy(shared_data / "phoenix14t/PHOENIX-2014-T.test.corpus.csv", folder)
    result = prepared(tmp_path)
    assert result.annotated == {"test": 642}
    assert {row.reason for row in result.rejected} == {"no video"}
    assert result.has_faults
