"""Standard output and standard error: any encoding, closed or broken, and nothing raw from a corpus."""

import ast
import io
import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
PRINTING = {"print", "click.echo", "click.secho", "sys.stdout.write", "sys.stderr.write", "tqdm.write"}
ESCAPES = "\x1b[2J\x9b1m\u202e"
Call = Callable[..., int]


@pytest.fixture
def same(tmp_path: Path) -> Path:
    """Return a file of two sentences that are scored against themselves."""
    path = tmp_path / "风.txt"
    path.write_text("今天 下雨\n\U0001f600 größe\n", encoding="utf-8")
    return path


@pytest.fixture
def hostile(tmp_path: Path) -> Path:
    """Return a table whose ids hold escapes; no row can be used."""
    path = tmp_path / "table.jsonl"
    splits = ("train", f"tr{ESCAPES}ain")
    rows = [{"id": f"{ESCAPES}{s}", "split": s, "video": f"{ESCAPES}.mp4", "text": "x"} for s in splits]
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return path


def called(path: Path) -> set[str]:
    """Return the functions that a file calls, by the names it uses."""
    nodes = ast.walk(ast.parse(path.read_text(encoding="utf-8")))
    return {ast.unparse(node.func) for node in nodes if isinstance(node, ast.Call)}


def test_all_that_is_printed_goes_through_few_places() -> None:
    files = [path for path in ROOT.glob("*/*.py") if path.parent.name not in ("tests", "bench")]
    printing = {f"{path.parent.name}/{path.name}" for path in files if PRINTING & called(path)}
    # cache/check.py prints to its parent process.
    assert printing == {"cache/check.py", "cli/options.py", "core/logs.py", "core/streams.py"}


@pytest.mark.parametrize("encoding", ["cp1252", "ascii", "cp932"])
@pytest.mark.parametrize("form", ["--json", "--intervals"])
def test_results_are_printed_in_any_encoding(
    encoding: str, form: str, call: Call, same: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    written = io.BytesIO()
    monkeypatch.setattr(sys, "stdout", io.TextIOWrapper(written, encoding=encoding))
    assert call("score", same, same, "--refs", same, "--language", "zh", form) == 0
    sys.stdout.flush()
    if form == "--json":
        assert "风" in str(json.loads(written.getvalue().decode(encoding)))
    else:
        assert written.getvalue()


@pytest.mark.parametrize("closed", ["stdout", "stderr"])
def test_a_closed_stream_ends_no_command(
    closed: str, call: Call, hostile: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sys, closed, None)
    assert call("prepare", "table", hostile, "--out", hostile.with_name("m.jsonl")) == 1
    assert len(hostile.with_name("m.jsonl.rejected.jsonl").read_text().splitlines()) == 2


def shell(script: str, folder: Path) -> int:
    return subprocess.run(
        ["bash", "-c", script, sys.executable], cwd=folder, check=False, timeout=60
    ).returncode


def test_no_file_takes_the_place_of_a_closed_stream(tmp_path: Path) -> None:
    code = (
        "import os; from fla_llm.core.streams import prepare_streams; prepare_streams(); "
        "file = open('made', 'w'); os.write(1, b'noise'); os.write(2, b'noise'); file.close()"
    )
    assert shell(f'"$0" -c "{code}" <&- >&- 2>&-', tmp_path) == 0
    assert (tmp_path / "made").read_text() == ""


@pytest.mark.parametrize("log", ["2>&1 >/dev/null | true", "2>/dev/full"])
def test_work_goes_on_when_its_log_cannot_be_written(log: str, tmp_path: Path) -> None:
    code = (
        "from fla_llm.core.progress import progress; import logging; "
        "from fla_llm.core.logs import configure_logging; configure_logging(); "
        "say = logging.getLogger('fla_llm.x').info; "
        "[say('line ' * 999) for _ in progress(range(100), desc='x')]; open('made', 'w')"
    )
    shell(f'"$0" -c "{code}" {log}', tmp_path)
    assert (tmp_path / "made").exists()


@pytest.mark.parametrize("form", [[], ["--json"]])
def test_ids_reach_the_terminal_escaped_and_files_as_they_are(
    form: list[str], call: Call, hostile: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert call("prepare", "table", hostile, "--out", hostile.with_name("m.jsonl"), *form) == 1
    shown = capsys.readouterr()
    assert not set(ESCAPES) & {"\x1b", "\x9b", "\u202e"} & set(shown.out + shown.err)
    rejected = hostile.with_name("m.jsonl.rejected.jsonl").read_text(encoding="utf-8").split("\n")[:-1]
    assert [json.loads(line)["id"][:6] for line in rejected] == [ESCAPES[:6]] * 2
    if form:
        assert [row["id"][:6] for row in json.loads(shown.out)["rejected"]] == [ESCAPES[:6]] * 2


@pytest.mark.parametrize(
    "arguments",
    [
        ["score", f"{ESCAPES}.txt"],  # a FlaError
        ["prepare", "table", "t.csv", "--out", f"{'x' * 300}{ESCAPES}"],  # an OSError
        ["doctor", f"{ESCAPES}"],  # a refusal of the parser
        [f"{ESCAPES}"],
        ["score", f"--{ESCAPES}"],
    ],
)
def test_errors_reach_the_terminal_escaped(
    arguments: list[str], call: Call, capsys: pytest.CaptureFixture[str]
) -> None:
    assert call(*arguments) in (1, 2)
    shown = capsys.readouterr().err
    assert r"\x1b[2J" in shown
    assert not {"\x1b", "\x9b", "\u202e"} & set(shown)


@pytest.mark.parametrize("value", ["nan", "inf", "1e999"])
@pytest.mark.parametrize(
    "arguments",
    [
        ["plan", "--llm", "x", "--vram"],
        ["extract", "--encoder", "timm:x", "--manifest", "m", "--out", "o", "--fps"],
        ["evaluate", "run", "--features", "c", "--diversity"],
    ],
)
def test_a_number_on_the_command_line_is_finite(
    arguments: list[str], value: str, call: Call, capsys: pytest.CaptureFixture[str]
) -> None:
    assert call(*arguments, value) == 2
    assert "is not a finite number" in capsys.readouterr().err


LONG = "x" * 300


@pytest.mark.parametrize(
    "arguments",
    [
        ["prepare", "table", "t.csv", "--out", "x" * 251],
        ["prepare", "table", "t.csv", "--out", f"{LONG}/m.jsonl"],
        ["prepare", "table", LONG, "--out", "m.jsonl"],
        ["prepare", "table", "t.csv", "--out", "m.jsonl", "--config", LONG],
        ["score", LONG],
        ["cache", "info", LONG],
        ["cache", "export", LONG, "--out", "o", "--format", "npy"],
    ],
)
def test_a_name_too_long_is_one_sentence(
    arguments: list[str],
    call: Call,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("t.csv").write_text("id,split,video,text\n1,train,1.mp4,x\n")
    assert call(*arguments) == 1
    shown = capsys.readouterr().err
    assert shown.startswith("fla: ")
    assert "File name too long" in shown
    assert list(tmp_path.iterdir()) == [tmp_path / "t.csv"]
