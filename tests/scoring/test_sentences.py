"""Files of sentences, in every form and fault."""

import json
from pathlib import Path

import pytest

from fla_llm.core.errors import DataError
from fla_llm.scoring import read_sentence_file


def written(folder: Path, name: str, text: str) -> Path:
    path = folder / name
    path.write_bytes(text.encode())
    return path


def test_plain_lines_are_kept_raw(tmp_path: Path) -> None:
    path = written(tmp_path, "hyps.txt", " Es regnet .\n\nein\u2028satz\r\nletzter")
    sides = read_sentence_file(path).hypotheses()
    assert sides.texts == (" Es regnet .", "", "ein\u2028satz", "letzter")
    assert sides.ids is None
    assert sides.place(3) == f"{path}, line 4"


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("hyps.tsv", 'id\tprediction\na/1\tgrün, "so"\n7\t\n'),
        ("hyps.txt", 'id\tprediction\r\na/1\tgrün, "so"\r\n7\t\r\n'),
        ("hyps.csv", 'id,prediction\na/1,"grün, ""so"""\n7,\n'),
        ("hyps.jsonl", '{"id": "a/1", "prediction": "grün, \\"so\\""}\n\n{"id": 7, "prediction": ""}\n'),
        ("hyps", '{"id": "a/1", "text": "grün, \\"so\\""}\n{"id": "7", "text": ""}'),
        ("bom.tsv", '\ufeffid\tnote\ttext\na/1\tx\tgrün, "so"\n7\ty\t'),
    ],
)
def test_every_form_gives_the_same(tmp_path: Path, name: str, text: str) -> None:
    sides = read_sentence_file(written(tmp_path, name, text)).hypotheses()
    assert sides.ids == ("a/1", "7")
    assert sides.texts == ('grün, "so"', "")


def test_a_predictions_file_holds_both_sides(tmp_path: Path) -> None:
    row = {"id": "1", "prediction": "es regnet", "reference": "es schneit", "language": "de"}
    file = read_sentence_file(written(tmp_path, "predictions-test.jsonl", json.dumps(row)))
    assert file.is_predictions
    assert file.hypotheses().texts == ("es regnet",)
    assert file.references().texts == ("es schneit",)
    assert file.references().languages == {"de"}


def test_a_place_names_line_and_id(tmp_path: Path) -> None:
    path = written(tmp_path, "refs.tsv", 'id\ttext\na\t"of two\nlines"\nb\tx\n')
    assert read_sentence_file(path).references().place(1) == f"{path}, line 4, id 'b'"


@pytest.mark.parametrize(
    ("name", "text", "message"),
    [
        ("empty.txt", "\n", "empty.txt must hold sentences, but is empty"),
        (
            "a.tsv",
            "id\tprediction\n1\ta\tb\n",
            "a.tsv, line 2 must have 2 fields as the header has, but has 3",
        ),
        ("a.tsv", 'id\ttext\n1\t"so" sagt er\n2\tb\n', "a.tsv, line 2 must be a row of fields"),
        (
            "a.jsonl",
            '{"text": "a"}\n{"txt": "b"}\n',
            "line 2 must have 'text' as the first row has, but has txt",
        ),
        ("a.jsonl", '{"text": "a"}\n{"text": null}\n', "line 2: 'text' must be text, but is None"),
        ("a.jsonl", '{"text": "a"}\n{"text": \n', "line 2 must be JSON"),
    ],
)
def test_malformed_files_are_refused(tmp_path: Path, name: str, text: str, message: str) -> None:
    with pytest.raises(DataError, match=message):
        read_sentence_file(written(tmp_path, name, text))


def test_a_table_without_the_column_is_refused(tmp_path: Path) -> None:
    file = read_sentence_file(written(tmp_path, "refs.tsv", "id\tprediction\n1\ta\n"))
    with pytest.raises(
        DataError, match="must have a column 'reference' or 'text', but .* has id, prediction"
    ):
        file.references()


def test_bytes_that_are_not_utf8_are_refused_by_line(tmp_path: Path) -> None:
    path = tmp_path / "latin.txt"
    path.write_bytes("eins\nzwölf".encode("latin-1"))
    with pytest.raises(DataError, match=r"byte 7 \(line 2\)"):
        read_sentence_file(path)


@pytest.mark.parametrize(
    ("name", "text", "place"),
    [
        ("a.jsonl", '{"id": "1", "text": "a"}\n{"id": "2", "text": "a \\ud83d"}', "'text' .* U[+]D83D"),
        ("a.jsonl", '{"id": "1", "text": "a"}\n{"id": "\\u0000", "text": "a"}', "'id' .* U[+]0000"),
        ("a.txt", "a\nb\0", "'text' .* U[+]0000"),
        ("a.tsv", "id\ttext\n1\ta\0", "'text' .* U[+]0000"),
    ],
)
def test_a_character_that_no_file_can_hold_is_refused_by_line(
    tmp_path: Path, name: str, text: str, place: str
) -> None:
    with pytest.raises(DataError, match=f"{name}, line 2: {place}"):
        read_sentence_file(written(tmp_path, name, text))


@pytest.mark.parametrize("value", ["NaN", "Infinity", "-Infinity", "1e999"])
def test_a_json_value_that_is_no_text_is_refused(tmp_path: Path, value: str) -> None:
    for line in (f'{{"id": {value}, "text": "a"}}', f'{{"id": "1", "text": {value}}}'):
        with pytest.raises(DataError, match="line 1: '(id|text)' must be text, but is (nan|-?inf)"):
            read_sentence_file(written(tmp_path, "a.jsonl", line))


def test_a_file_that_is_not_there_is_refused(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="none.txt cannot be read"):
        read_sentence_file(tmp_path / "none.txt")
