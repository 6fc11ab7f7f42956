import json
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from fla_llm.cli import fla
from fla_llm.cli.prepare import RELEASED
from fla_llm.core.errors import ConfigError, DataError
from fla_llm.corpora import read_manifest
from fla_llm.corpora.config import PrepareConfig
from fla_llm.corpora.prepare import CORPORA, prepare


def run(*arguments: object) -> Result:
    return CliRunner().invoke(fla, ["prepare", *(str(argument) for argument in arguments)])


def corrupt(video: Path) -> None:
    """Overwrite late pictures of an MP4; its first picture and its index stay whole."""
    content = bytearray(video.read_bytes())
    box = content.index(b"mdat")
    size = int.from_bytes(content[box - 4 : box], "big")
    start, end = box + size * 7 // 10, box + size * 8 // 10
    content[start:end] = b"\xff" * (end - start)
    video.write_bytes(content)


@pytest.mark.parametrize("corpus", ["phoenix", "csl", "how2sign", "table"])
def test_every_row_is_a_sample_or_rejected(corpus: str, request: pytest.FixtureRequest) -> None:
    source = request.getfixturevalue(corpus)
    name = {"phoenix": "phoenix14t", "csl": "csl-daily"}.get(corpus, corpus)
    result = prepare(name, source, config=PrepareConfig())
    in_split = [row for row in (*result.manifest.samples, *result.rejected) if row.split in result.annotated]
    assert len(in_split) == sum(result.annotated.values())


def test_an_id_twice_in_one_split_is_refused_once(table: Path) -> None:
    table.write_text(table.read_text().replace("x/2,val", "x/1,train"))
    result = prepare("table", table, config=PrepareConfig())
    assert [(row.id, row.reason) for row in result.rejected] == [("x/1", "id twice in one split")]
    assert result.manifest.samples[0].video == "videos/a.mp4"
    assert result.has_faults


def test_an_id_in_two_splits_is_noted(table: Path) -> None:
    table.write_text(table.read_text().replace("x/2,val", "x/1,val"))
    result = prepare("table", table, config=PrepareConfig())
    assert "ids in more than one split: x/1 (train, dev)" in result.notes
    assert not result.has_faults


def test_the_limit_is_per_split(how2sign: Path) -> None:
    result = prepare("how2sign", how2sign, config=PrepareConfig(), limit=1)
    assert [sample.id for sample in result.manifest.samples] == ["v1_0-5", "v2_0-5"]
    assert result.annotated == {"train": 1, "dev": 1}


def test_decoding_finds_what_the_headers_hide(table: Path, write_video) -> None:
    write_video(table.parent / "videos/b.mp4", count=200)
    corrupt(table.parent / "videos/b.mp4")
    assert not prepare("table", table, config=PrepareConfig()).rejected
    (row,) = prepare("table", table, config=PrepareConfig(check="decode")).rejected
    assert (row.id, row.reason) == ("x/2", "video cannot be used")


def test_decoding_passes_what_is_whole(how2sign: Path) -> None:
    config = PrepareConfig(check="decode", media="videos")
    assert not prepare("how2sign", how2sign, config=config).rejected


def test_threads_change_nothing(how2sign: Path) -> None:
    one, many = (prepare("how2sign", how2sign, config=PrepareConfig(workers=n)) for n in (1, 8))
    assert one == many


def test_links_to_another_disk_are_followed(phoenix: Path, tmp_path: Path) -> None:
    frames = phoenix / "PHOENIX-2014-T/features"
    frames.rename(tmp_path / "disk")
    frames.symlink_to(tmp_path / "disk")
    assert len(prepare("phoenix14t", phoenix, config=PrepareConfig()).manifest.samples) == 3


def test_a_path_that_no_manifest_can_hold_is_refused(table: Path, tmp_path: Path) -> None:
    folder = tmp_path / "D\udce4ten"
    folder.mkdir()
    table.rename(folder / "table.csv")
    with pytest.raises(DataError, match="must be a path in UTF-8, .* has U[+]DCE4, .*\nRename the folder"):
        prepare("table", folder / "table.csv", config=PrepareConfig())


def test_the_report_says_what_the_root_is(table: Path, tmp_path: Path) -> None:
    result = run("table", table, "--out", tmp_path / "m.jsonl")
    assert f"root of video paths: {table.parent}\n" in result.stdout


def test_the_command_offers_every_corpus() -> None:
    assert RELEASED == CORPORA


def test_an_unknown_corpus_or_source_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="but is 'phoenix'. Did you mean 'phoenix14t'"):
        prepare("phoenix", tmp_path, config=PrepareConfig())
    with pytest.raises(DataError, match="none must be the corpus how2sign as released, but does not exist"):
        prepare("how2sign", tmp_path / "none", config=PrepareConfig())


def test_the_command_writes_the_manifest_and_ends_with_0(how2sign: Path, tmp_path: Path) -> None:
    result = run("how2sign", how2sign, "--out", tmp_path / "m.jsonl")
    assert result.exit_code == 0
    assert "train               2          2     31128" in result.stdout
    assert read_manifest(tmp_path / "m.jsonl").counts == {"train": 2, "dev": 2, "test": 0}
    assert not (tmp_path / "m.jsonl.rejected.jsonl").exists()


def test_a_fault_is_listed_and_ends_with_1(how2sign: Path, tmp_path: Path) -> None:
    (how2sign / "sentence_level/train/rgb_front/raw_videos/v1_0-5.mp4").write_bytes(b"no video")
    result = run("how2sign", how2sign, "--out", tmp_path / "m.jsonl")
    assert result.exit_code == 1
    assert "train  v1_0-5" in result.stdout
    (row,) = map(json.loads, (tmp_path / "m.jsonl.rejected.jsonl").read_text().splitlines())
    assert (row["id"], row["fault"]) == ("v1_0-5", True)
    assert len(read_manifest(tmp_path / "m.jsonl").samples) == 3


def test_the_terminal_shows_twenty_rows_of_a_reason(table: Path, tmp_path: Path) -> None:
    lines = "".join(f"{n},test,none.mp4,Hi.\n" for n in range(25))
    table.write_text("id,split,video,text\nx,test,videos/a.mp4,Hi.\n" + lines)
    result = run("table", table, "--out", tmp_path / "m.jsonl")
    assert result.stdout.count("tried none.mp4") == 20
    assert "and 5 more" in result.stdout
    assert len((tmp_path / "m.jsonl.rejected.jsonl").read_text().splitlines()) == 25


def test_json_is_one_object_on_standard_output(table: Path, tmp_path: Path) -> None:
    result = run("table", table, "--out", tmp_path / "m.jsonl", "--json")
    content = json.loads(result.stdout)
    assert content["splits"]["train"] == {"usable": 1, "annotated": 1, "official": None}
    assert content["manifest"] == str(tmp_path / "m.jsonl")


def test_a_dry_run_writes_nothing(table: Path, tmp_path: Path) -> None:
    result = run("table", table, "--out", tmp_path / "m.jsonl", "--dry-run")
    assert "would write" in result.stdout
    assert not (tmp_path / "m.jsonl").exists()


def test_no_manifest_is_written_without_a_sample(table: Path, tmp_path: Path) -> None:
    table.write_text("id,split,video,text\n1,test,none.mp4,Hi.\n")
    result = run("table", table, "--out", tmp_path / "m.jsonl")
    assert result.exit_code == 1
    assert "no manifest is written" in result.stdout
    assert not (tmp_path / "m.jsonl").exists()


def test_only_a_manifest_is_written_over(table: Path) -> None:
    content = table.read_bytes()
    result = run("table", table, "--out", table)
    assert isinstance(result.exception, DataError)
    assert "must be a new file or a manifest to replace" in str(result.exception)
    assert table.read_bytes() == content


def test_a_place_that_takes_no_file_is_refused_first(table: Path) -> None:
    result = run("table", table, "--out", table / "m.jsonl")
    assert isinstance(result.exception, DataError)
    assert "table.csv is no such folder" in str(result.exception)


@pytest.mark.parametrize("option", ["--media=videos", "--root=/tmp"])
def test_an_option_of_another_corpus_is_refused(phoenix: Path, tmp_path: Path, option: str) -> None:
    result = run("phoenix14t", phoenix, "--out", tmp_path / "m.jsonl", option)
    assert isinstance(result.exception, ConfigError)
    assert "but the corpus is phoenix14t" in str(result.exception)


def test_an_unknown_setting_is_refused(table: Path, tmp_path: Path) -> None:
    result = run("table", table, "--out", tmp_path / "m.jsonl", "--set", "columns.txt=satz")
    assert isinstance(result.exception, ConfigError)
    assert "columns.txt'. Did you mean 'columns.text'" in str(result.exception)
