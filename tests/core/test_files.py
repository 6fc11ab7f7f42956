"""Files are whole or not there, and errors name the place."""

import os
from pathlib import Path

import pytest

from fla_llm.core.errors import DataError
from fla_llm.core.files import (
    atomic_write,
    read_json,
    read_jsonl,
    resolve_inside,
    sha256_file,
    write_json,
    write_jsonl,
)


def test_reading_what_was_written_gives_the_same(tmp_path: Path) -> None:
    rows = [{"id": "a/1", "text": "größere wärme\u2028天气"}, {"id": "b"}]
    write_jsonl(tmp_path / "deep" / "rows.jsonl", rows)
    assert read_jsonl(tmp_path / "deep" / "rows.jsonl") == rows
    write_json(tmp_path / "one.json", rows[0])
    assert read_json(tmp_path / "one.json") == rows[0]


def test_what_utf8_cannot_hold_is_written_as_json_escapes(tmp_path: Path) -> None:
    row = {"id": "x\udc80 \ud83d", "é": "\U0001f600"}
    write_jsonl(tmp_path / "rows.jsonl", [row])
    write_json(tmp_path / "one.json", row)
    assert read_jsonl(tmp_path / "rows.jsonl") == [row]
    assert read_json(tmp_path / "one.json") == row
    assert r"x\udc80 \ud83d" in (tmp_path / "one.json").read_text(encoding="utf-8")


def test_a_name_may_be_as_long_as_the_disk_allows(tmp_path: Path) -> None:
    write_json(tmp_path / ("手" * 85), {})
    assert [path.name for path in tmp_path.iterdir()] == ["手" * 85]


@pytest.mark.parametrize("text", ["[" * 100_000, "1" * 5000, "[1,]"])
def test_what_json_cannot_be_is_an_error_that_names_the_file(tmp_path: Path, text: str) -> None:
    (tmp_path / "one.json").write_text(text)
    with pytest.raises(DataError, match="one.json must be JSON, but is not"):
        read_json(tmp_path / "one.json")


def test_a_write_that_fails_leaves_the_old_file(tmp_path: Path) -> None:
    target = tmp_path / "file.txt"
    target.write_text("old")
    with pytest.raises(FileNotFoundError), atomic_write(target) as temporary:
        (temporary.rename(tmp_path / "half")).unlink()  # what a full disk or a bug would leave
    assert target.read_text() == "old"
    assert list(tmp_path.iterdir()) == [target]


@pytest.mark.parametrize("umask", [0o022, 0o002, 0o077, 0o027])
def test_a_file_has_the_mode_that_the_umask_grants_however_it_was_written(tmp_path: Path, umask: int) -> None:
    before = os.umask(umask)
    try:
        with atomic_write(tmp_path / "weights") as temporary:
            os.close(os.open(temporary, os.O_CREAT | os.O_WRONLY, 0o600))  # as safetensors leaves its files
    finally:
        os.umask(before)
    assert (tmp_path / "weights").stat().st_mode & 0o777 == 0o666 & ~umask
    assert [path.name for path in tmp_path.iterdir()] == ["weights"]


@pytest.mark.parametrize("relative", ["../x", "/etc/passwd", "a/../../x"])
def test_a_path_that_leaves_its_root_is_refused(tmp_path: Path, relative: str) -> None:
    with pytest.raises(DataError, match="must stay inside"):
        resolve_inside(tmp_path, relative)


def test_a_path_inside_is_given(tmp_path: Path) -> None:
    assert resolve_inside(tmp_path, "a/./b:c") == tmp_path / "a" / "b:c"


def test_bytes_that_are_not_utf8_are_named_by_line(tmp_path: Path) -> None:
    file = tmp_path / "cut.txt"
    file.write_bytes("name\n天".encode()[:-1])
    with pytest.raises(DataError, match=r"byte 5 \(line 2\) is not"):
        read_jsonl(file)


def test_a_broken_line_is_named(tmp_path: Path) -> None:
    (tmp_path / "rows.jsonl").write_text('{"a": 1}\n[2]\n')
    with pytest.raises(DataError, match="line 2 must be a JSON object, but is list"):
        read_jsonl(tmp_path / "rows.jsonl")
    with pytest.raises(DataError, match=r"none\.json cannot be read"):
        read_json(tmp_path / "none.json")


def test_a_digest_can_start_behind_a_header(tmp_path: Path) -> None:
    (tmp_path / "a").write_bytes(b"headBODY")
    (tmp_path / "b").write_bytes(b"BODY")
    assert sha256_file(tmp_path / "a", offset=4) == sha256_file(tmp_path / "b")
