import shutil
from pathlib import Path

import pytest

from fla_llm.core.errors import ConfigError, DataError
from fla_llm.corpora.config import PrepareConfig
from fla_llm.corpora.prepare import Prepared, prepare


def prepared(source: Path, **settings: str) -> Prepared:
    return prepare("how2sign", source, config=PrepareConfig(**settings))


def annotation(release: Path, split: str) -> Path:
    folder = release / "sentence_level" / split / "text/en/raw_text/re_aligned"
    return folder / f"how2sign_realigned_{split}.csv"


def test_clips_are_taken_whole_and_the_report_says_so(how2sign: Path) -> None:
    result = prepared(how2sign)
    first = result.manifest.samples[0]
    assert (first.id, first.text, first.language) == ("v1_0-5", 'Say "hi", then.', "en")
    assert (first.num_frames, first.fps, first.start_seconds, first.end_seconds) == (6, 24.0, None, None)
    assert any("realigned times are not used" in note for note in result.notes)


def test_videos_are_cut_by_the_realigned_times(how2sign: Path) -> None:
    first, second = prepared(how2sign, media="videos").manifest.split("train")
    assert first.video == second.video == "video_level/train/rgb_front/raw_videos/v1-5.mp4"
    assert (first.start_seconds, first.end_seconds, first.num_frames) == (0.5, 1.0, 12)
    assert (second.start_seconds, second.end_seconds, second.num_frames) == (1.0, 1.75, 18)


def test_val_is_dev(how2sign: Path) -> None:
    assert [sample.id for sample in prepared(how2sign).manifest.split("dev")] == ["v2_0-5", "v2_1-5"]


def test_the_list_of_official_counts_is_named(how2sign: Path) -> None:
    result = prepared(how2sign)
    assert result.official == {"train": 31128, "dev": 1741, "test": 2357}
    assert any("31128/1741/2357" in note and "31048/1739/2343" in note for note in result.notes)


def test_clips_never_released_are_counted_and_no_fault(how2sign: Path) -> None:
    (how2sign / "sentence_level/train/rgb_front/raw_videos/v1_1-5.mp4").unlink()
    assert prepared(how2sign).has_faults
    (how2sign / "missing_train.txt").write_text("v1_1-5.mp4\n")
    result = prepared(how2sign)
    assert [(row.id, row.detail) for row in result.rejected] == [("v1_1-5", "listed in missing_train.txt")]
    assert not result.has_faults


def test_a_listed_clip_that_is_there_is_used(how2sign: Path) -> None:
    (how2sign / "missing_train.txt").write_text("v1_1-5.mp4\n")
    assert not prepared(how2sign).rejected


def test_times_that_make_no_cut_are_listed(how2sign: Path) -> None:
    path = annotation(how2sign, "train")
    path.write_text(path.read_text().replace("\t0.5\t", "\t1.5\t").replace("\t1.75\t", "\t99\t"))
    wrong, beyond = prepared(how2sign, media="videos").rejected
    assert (wrong.reason, wrong.detail) == ("wrong times", "START_REALIGNED '1.5', END_REALIGNED '1.0'")
    assert (beyond.reason, beyond.fault) == ("video cannot be used", True)
    assert "99" in beyond.detail


@pytest.mark.parametrize("layout", ["rgb_front/raw_videos", "train/rgb_front/raw_videos", "raw_videos"])
def test_clips_are_found_in_the_known_layouts(how2sign: Path, layout: str) -> None:
    shutil.copytree(how2sign / "sentence_level/train/rgb_front/raw_videos", how2sign / layout)
    shutil.rmtree(how2sign / "sentence_level/train/rgb_front")
    assert prepared(how2sign).manifest.split("train")[0].video == f"{layout}/v1_0-5.mp4"


def test_all_annotation_files_are_read_or_the_one_named(how2sign: Path) -> None:
    full = annotation(how2sign, "train").read_text().splitlines()
    mini = how2sign / "how2sign_realigned_mini_train.csv"
    mini.write_text("\n".join([full[0], full[1].replace("v1_0-5", "v1_9-5")]))
    shutil.copy(
        how2sign / "sentence_level/train/rgb_front/raw_videos/v1_0-5.mp4",
        how2sign / "sentence_level/train/rgb_front/raw_videos/v1_9-5.mp4",
    )
    assert prepared(how2sign).annotated["train"] == 3
    assert prepared(how2sign, annotations="how2sign_realigned_mini_{split}.csv").annotated == {"train": 1}


def test_a_name_without_its_split_is_refused() -> None:
    with pytest.raises(ConfigError, match=r"'annotations' must contain {split}, but is 'a.csv'"):
        PrepareConfig(annotations="a.csv")


def test_without_annotations_the_paths_tried_are_named(tmp_path: Path) -> None:
    with pytest.raises(
        DataError, match=r"no annotation file of How2Sign; tried how2sign_realigned_\{split\}.csv, "
    ):
        prepared(tmp_path)


def test_the_real_clips_are_read(shared_data: Path) -> None:
    result = prepared(shared_data / "how2sign", annotations="how2sign_realigned_mini_{split}.csv")
    assert result.manifest.counts == {"train": 24, "dev": 9, "test": 0}
    assert sum(sample.num_frames for sample in result.manifest.samples) == 3347
    assert not result.has_faults


def test_the_official_val_file_without_its_clips_is_missing_media(shared_data: Path) -> None:
    source = shared_data / "how2sign"
    result = prepared(source, annotations="how2sign_realigned_{split}.csv")
    assert result.annotated == {"dev": 1741}
    reasons = [row.reason for row in result.rejected]
    assert (reasons.count("no video"), reasons.count("video never released")) == (1739, 2)
    assert result.empty_splits == ("dev",)
