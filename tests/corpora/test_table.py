import json
from pathlib import Path

import pytest
from click.testing import CliRunner

from fla_llm.cli import fla
from fla_llm.core.errors import DataError
from fla_llm.core.files import read_jsonl
from fla_llm.corpora import read_manifest, write_manifest
from fla_llm.corpora.config import Columns, PrepareConfig
from fla_llm.corpora.prepare import Prepared, prepare


def prepared(source: Path, **settings: object) -> Prepared:
    return prepare("table", source, config=PrepareConfig(**settings))


def as_jsonl(table: Path, rows: list[dict[str, object]]) -> Path:
    path = table.with_suffix(".jsonl")
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return path


def test_a_csv_is_read(table: Path) -> None:
    first, second = prepared(table).manifest.samples
    assert (first.id, first.split, first.text, first.signer) == ("x/1", "train", "One, two.", "ada")
    assert (second.split, second.signer, second.language) == ("dev", None, "en")


def test_csv_tsv_and_jsonl_say_the_same(table: Path) -> None:
    tsv = table.with_suffix(".tsv")
    tsv.write_text("id\tsplit\tvideo\ttext\tsigner\nx/1\ttrain\tvideos/a.mp4\tOne, two.\tada\n"
                   "x/2\tvalidation\tvideos/b.mp4\tThree.\t\n")  # fmt: skip
    rows = [
        {"id": "x/1", "split": "train", "video": "videos/a.mp4", "text": "One, two.", "signer": "ada"},
        {"id": "x/2", "split": "dev", "video": "videos/b.mp4", "text": "Three."},
    ]
    expected = prepared(table).manifest
    assert prepared(tsv).manifest == expected
    assert prepared(as_jsonl(table, rows)).manifest == expected


def test_a_semicolon_may_separate(table: Path) -> None:
    table.write_text("id;split;video;text\n1;test;videos/a.mp4;One, two, three, four, five.\n")
    assert prepared(table).manifest.samples[0].text == "One, two, three, four, five."


def test_further_columns_are_references_of_dev_and_test(table: Path) -> None:
    table.write_text(
        "id,split,video,text,other,third\n1,test,videos/a.mp4,Hi.,Hello.,\n2,train,videos/b.mp4,Ho.,Hey.,Oh.\n"
    )
    found = prepared(table, columns=Columns(references=("other", "third")))
    assert [sample.references for sample in found.manifest.samples] == [("Hello.",), ()]
    assert "further references, in dev and test alone: other, third" in found.notes
    assert [sample.references for sample in prepared(table).manifest.samples] == [(), ()]
    rows = [{"id": "1", "split": "dev", "video": "videos/a.mp4", "text": "Hi.", "other": "A", "third": "B"}]
    (sample,) = prepared(
        as_jsonl(table, rows), columns=Columns(references=("other", "third"))
    ).manifest.samples
    assert sample.references == ("A", "B")
    with pytest.raises(DataError, match="fourth"):
        prepared(table, columns=Columns(references=("fourth",)))


def test_numbers_in_jsonl_are_read(table: Path) -> None:
    row = {"id": 7, "split": "test", "video": "videos/a.mp4", "text": "Hi.", "start": 0, "end": 0.125}
    (sample,) = prepared(as_jsonl(table, [row])).manifest.samples
    assert (sample.id, sample.start_seconds, sample.end_seconds, sample.num_frames) == ("7", 0.0, 0.125, 3)


def test_columns_can_have_other_names(table: Path) -> None:
    table.write_text("name,split,video,satz,lang\n1,test,videos/a.mp4,Guten Tag.,de\n")
    columns = Columns(id="name", text="satz", language="lang")
    (sample,) = prepared(table, columns=columns).manifest.samples
    assert (sample.id, sample.text, sample.language) == ("1", "Guten Tag.", "de")


def test_a_wrong_column_is_named_with_the_nearest(table: Path) -> None:
    table.write_text("id,split,vidoe,text\n1,test,videos/a.mp4,Hi.\n")
    with pytest.raises(DataError, match=r"lacks video; it has id, split, vidoe, text. Did you mean 'vidoe'"):
        prepared(table)


def test_a_column_named_in_the_settings_must_be_there(table: Path) -> None:
    with pytest.raises(DataError, match="lacks signr; it has .* Did you mean 'signer'"):
        prepared(table, columns=Columns(signer="signr"))


def test_videos_may_lie_under_another_root(table: Path, tmp_path: Path) -> None:
    moved = tmp_path / "elsewhere"
    moved.mkdir()
    table.rename(moved / "table.csv")
    result = prepared(moved / "table.csv", root=str(tmp_path))
    assert result.manifest.root == tmp_path
    assert len(result.manifest.samples) == 2


def test_absolute_paths_inside_the_root_become_relative(table: Path) -> None:
    table.write_text(f"id,split,video,text\n1,test,{table.parent}/videos/a.mp4,Hi.\n2,test,../b.mp4,Hi.\n")
    result = prepared(table)
    assert result.manifest.samples[0].video == "videos/a.mp4"
    assert "must stay inside" in result.rejected[0].detail
    link = table.parent / "link"
    link.symlink_to(table.parent)
    assert prepared(table, root=str(link)).manifest.samples[0].video == "videos/a.mp4"


@pytest.mark.parametrize("root", [None, "corpus"])
def test_an_absolute_path_elsewhere_is_kept(table: Path, tmp_path: Path, root: str | None) -> None:
    corpus, disk = tmp_path / "corpus", tmp_path / "disk"
    corpus.mkdir()
    (table.parent / "videos").rename(disk)
    (corpus / "link").symlink_to(disk)
    table = table.rename(corpus / "table.csv")
    table.write_text(f"id,split,video,text\n1,test,{disk}/a.mp4,Hi.\n2,test,{corpus}/link/b.mp4,Hi.\n")
    result = prepared(table, **({} if root is None else {"root": str(tmp_path / root)}))
    assert [sample.video for sample in result.manifest.samples] == [f"{disk}/a.mp4", "link/b.mp4"]
    assert "videos by absolute paths, which --root does not change: 1" in result.notes
    write_manifest(corpus / "m.jsonl", result.manifest)
    manifest = read_manifest(corpus / "m.jsonl", root=tmp_path / "elsewhere")
    assert manifest.clip(manifest.samples[0]).path == disk / "a.mp4"
    disk.rename(tmp_path / "moved")
    with pytest.raises(
        DataError, match="a.mp4 does not exist.\n.* absolute path, which --root does not change"
    ):
        manifest.clip(manifest.samples[0])


def test_frame_folders_need_a_frame_rate(table: Path, write_frames) -> None:
    write_frames(table.parent / "frames/a")
    table.write_text("id,split,video,text\n1,test,frames/a,Hi.\n")
    (row,) = prepared(table).rejected
    assert (row.reason, row.fault) == ("no frame rate", True)
    assert prepared(table, fps=12.5).manifest.samples[0].fps == 12.5


@pytest.mark.parametrize(
    ("line", "reason", "detail"),
    [
        ("1,tets,videos/a.mp4,Hi.,,", "unknown split", "Did you mean 'test'"),
        ("1,test,videos/a.mp4,,,", "empty sentence", ""),
        (",test,videos/a.mp4,Hi.,,", "no id", ""),
        ("1,test,,Hi.,,", "no video", "the row names none"),
        ("1,test,videos/none.mp4,Hi.,,", "no video", "tried videos/none.mp4"),
        ("1,test,videos/a.mp4,Hi.,two,", "wrong times", "start 'two', end ''"),
        ("1,test,videos/a.mp4,Hi.,0.2,0.1", "wrong times", "start '0.2', end '0.1'"),
        ("1,test,videos/a.mp4,Hi.,nan,", "wrong times", "start 'nan'"),
        ("1,test,videos/a.mp4,Hi.,7,9", "video cannot be used", "a.mp4"),
        ("1,test,videos,Hi.,,", "video cannot be used", "videos"),
        ('1,test,videos/a.mp4,Hi.,"1,5",', "wrong times", "give seconds such as 12.5"),
        ('"a\nb",test,videos/a.mp4,Hi.,,', "id of several lines", "'a\\nb'"),
    ],
)
def test_an_unusable_row_is_listed_as_a_fault(table: Path, line: str, reason: str, detail: str) -> None:
    table.write_text(f"id,split,video,text,start,end\n{line}\n")
    result = prepared(table)
    (row,) = result.rejected
    assert (row.reason, row.fault) == (reason, True)
    assert detail in row.detail
    assert result.has_faults


@pytest.mark.parametrize("fps", ["29,97", "25 fps", "0", "-25", "nan", "inf", "1/25"])
def test_a_frame_rate_that_is_no_number_is_not_replaced(table: Path, fps: str) -> None:
    lines = f'1,test,videos/a.mp4,Hi.,"{fps}"\n2,test,videos/b.mp4,Hi.,25\n3,dev,videos/b.mp4,Hi.,\n'
    table.write_text(f"id,split,video,text,fps\n{lines}")
    result = prepared(table, fps=12.5)
    assert [(row.id, row.reason) for row in result.rejected] == [("1", "wrong frame rate")]
    assert f"fps {fps!r}: give a number above 0 such as 25 or 29.97" in result.rejected[0].detail
    assert [sample.id for sample in result.manifest.samples] == ["2", "3"]


@pytest.mark.parametrize("value", [float("nan"), float("inf"), float("-inf"), json.loads("1e999")])
@pytest.mark.parametrize("column", ["id", "split", "video", "text", "signer", "language", "start", "fps"])
def test_a_json_value_that_is_no_number_rejects_its_row(table: Path, column: str, value: float) -> None:
    good = {"id": "1", "split": "test", "video": "videos/a.mp4", "text": "Hi.", "other": float("nan")}
    result = prepared(as_jsonl(table, [good, good | {"id": "2", column: value}]))
    assert [sample.id for sample in result.manifest.samples] == ["1"]
    (row,) = result.rejected
    assert (row.reason, row.fault) == ("neither text nor a number", True)
    assert f"row 2: '{column}' is {value}" in row.detail


@pytest.mark.parametrize(("harm", "found"), [("\ud83d", "U+D83D"), ("\udc80", "U+DC80"), ("\0", "U+0000")])
@pytest.mark.parametrize("column", ["id", "video", "text", "signer", "language"])
def test_a_character_that_no_file_can_hold_rejects_its_row(
    table: Path, tmp_path: Path, column: str, harm: str, found: str
) -> None:
    good = {"id": "1", "split": "test", "video": "videos/a.mp4", "text": "Hi."}
    source = as_jsonl(table, [good, good | {"id": "2", column: f"a{harm}"}])
    out = tmp_path / "m.jsonl"
    done = CliRunner().invoke(fla, ["prepare", "table", str(source), "--out", str(out)])
    assert done.exit_code == 1
    assert [sample.id for sample in read_manifest(out).samples] == ["1"]
    (row,) = read_jsonl(tmp_path / "m.jsonl.rejected.jsonl")
    assert (row["reason"], row["id"]) == ("text that no file can hold", f"a{harm}" if column == "id" else "2")
    assert f"'{column}' holds {found}" in row["detail"]


@pytest.mark.parametrize(
    "lines",
    [
        '1,test,videos/a.mp4,"Hi.\n2,test,videos/b.mp4,Ho.\n',  # the quotation mark never ends
        '1,test,videos/a.mp4,"Hi.\n2,test,videos/b.mp4,"Ho.\n',  # it ends in the next row
        '1,test,videos/a.mp4,"Hi" he said\n',
    ],
)
def test_a_lone_quotation_mark_swallows_no_row(table: Path, lines: str) -> None:
    table.write_text(f"id,split,video,text\n{lines}")
    with pytest.raises(DataError, match="line [23] must be a row of fields, quoted or not"):
        prepared(table)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("", "must have a header line, but is empty"),
        ("id,split,video,text\n", "must hold rows, but has none"),
        ("id,split,video,text,id\n1,test,a,b,2\n", "must name each column once, but names id more often"),
        ("id,split,video,text\n1,test,a\n", "line 2 must have 4 fields, but has 3"),
    ],
)
def test_a_table_that_cannot_be_read_is_refused(table: Path, content: str, message: str) -> None:
    table.write_text(content)
    with pytest.raises(DataError, match=message):
        prepared(table)


def test_a_value_of_a_wrong_kind_is_named(table: Path) -> None:
    row = {"id": "1", "split": "test", "video": "a", "text": ["Hi."]}
    with pytest.raises(DataError, match=r"row 1: 'text' must be text or a number, but is \['Hi.'\]"):
        prepared(as_jsonl(table, [row]))


def test_a_folder_is_no_table(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="must be a table"):
        prepared(tmp_path)


def test_a_row_has_a_task_of_its_own_or_that_of_the_settings(table: Path) -> None:
    rows = [
        {"id": f"{n}", "split": "test", "video": "videos/a.mp4", "text": "RAIN", "task": task}
        for n, task in enumerate(["isolated", "recognise", "", None, "recognize"])
    ]
    result = prepared(as_jsonl(table, rows))
    assert [sample.task for sample in result.manifest.samples] == [
        "isolated", "recognise", "translate", "translate",
    ]  # fmt: skip
    (refused,) = result.rejected
    assert (refused.id, refused.reason) == ("4", "unknown task")
    expected = "'recognize' is none of translate, recognise, isolated. Did you mean 'recognise'?"
    assert refused.detail == expected
    assert result.notes[-1] == "tasks: 2 translate, 1 recognise, 1 isolated"
    others = prepared(table, task="isolated").manifest.samples  # a table without the column
    assert {sample.task for sample in others} == {"isolated"}
