"""The frame of the command line: help without torch, refusals without tracebacks, docs that are true."""

import errno
import os
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from click.testing import CliRunner

from fla_llm import cli
from fla_llm.cli import COMMANDS, fla

DOCS = Path(__file__).parents[2] / "docs"


@pytest.mark.parametrize("name", COMMANDS)
def test_the_docs_show_the_real_help(name: str) -> None:
    shown = CliRunner().invoke(fla, [name, "--help"], prog_name="fla", terminal_width=80).stdout
    assert f"```\n{shown}```" in (DOCS / f"{name}.md").read_text(encoding="utf-8")


def test_help_of_every_command_loads_no_torch() -> None:
    code = f"""
import sys
from click.testing import CliRunner
from fla_llm.cli import fla
for name in {list(COMMANDS)}:
    assert CliRunner().invoke(fla, [name, "--help"]).exit_code == 0, name
sys.exit("torch" in sys.modules)
"""
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


def test_every_command_is_one_module() -> None:
    modules = {path.stem for path in (DOCS.parent / "cli").glob("[a-z]*.py")}
    assert modules == {*COMMANDS, "hints", "options", "sharding", "tuning"}


def test_a_command_that_is_not_there_is_the_parsers_refusal() -> None:
    assert CliRunner().invoke(fla, ["extrakt"]).exit_code == 2


def failing(number: int) -> Callable[..., None]:
    def command(**_: object) -> None:
        raise OSError(number, "reason", "/data/cache")

    return command


@pytest.mark.parametrize("number", [errno.ENOSPC, errno.EACCES])
def test_a_full_disk_is_a_sentence(
    number: int, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(cli, "fla", failing(number))
    with pytest.raises(SystemExit, match="1"):
        cli.main()
    assert capsys.readouterr().err == "fla: /data/cache: reason.\n"


def test_other_faults_of_the_system_keep_their_traceback(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(cli, "fla", failing(errno.EIO))
    with pytest.raises(OSError, match="reason"):
        cli.main()


def test_a_signal_ends_any_command_with_its_code(
    as_in_a_terminal: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(cli, "fla", lambda **_: os.kill(os.getpid(), signal.SIGINT))
    with pytest.raises(SystemExit) as ended:
        cli.main()
    assert ended.value.code == 130


def test_in_a_log_other_libraries_draw_no_bars_and_ask_for_no_packages() -> None:
    """A bar that redraws its line is one endless line in a file."""
    code = """
import sys
from fla_llm import cli
sys.argv = ["fla", "--version"]
try:
    cli.main()
except SystemExit:
    from transformers.utils import logging
    from logging import WARNING, getLogger
    # It warns at its import, on CPUs with AVX512-BF16, of a package that is not needed.
    # Another list of layers comes with each model.
    noisy = ("bitsandbytes.backends.cpu.ops", "transformers.distributed.tensor_parallel")
    warns = any(getLogger(name).isEnabledFor(WARNING) for name in noisy)
    sys.exit(warns or logging.is_progress_bar_enabled())
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, check=False)
    assert (done.returncode, done.stderr) == (0, b"")
