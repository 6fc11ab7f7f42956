"""Messages are standard log records of the package; --verbose and --quiet choose which are shown."""

import logging
import multiprocessing
from collections.abc import Callable

import pytest

from fla_llm.core.logs import call_with_logging, console_level
from fla_llm.core.progress import progress

Call = Callable[..., int]
LOGGER = logging.getLogger("fla_llm.tests")


def log_all() -> None:
    """Log a message of each level."""
    for level in ("debug", "info", "warning", "error"):
        getattr(LOGGER, level)(f"a {level} \x1b[2J")


@pytest.mark.parametrize(
    ("option", "shown"),
    [
        ([], ["a info", "a warning", "a error"]),
        (["--verbose"], [f"fla_llm.tests: a {level}" for level in ("debug", "info", "warning", "error")]),
        (["--quiet"], ["a warning", "a error"]),
    ],
)
def test_the_options_choose_the_levels(
    option: list[str], shown: list[str], call: Call, capfd: pytest.CaptureFixture[str]
) -> None:
    assert call(*option, "config", "list") == 0
    log_all()
    found = capfd.readouterr().err.splitlines()
    assert [line.endswith(rf"{end} \x1b[2J") for line, end in zip(found, shown, strict=True)] == [True] * len(
        shown
    )


def test_quiet_hides_progress_bars(call: Call, capfd: pytest.CaptureFixture[str]) -> None:
    assert call("--quiet", "config", "list") == 0
    assert list(progress(range(9), desc="read")) == list(range(9))
    bar = progress(desc="write", total=3)
    bar.update(3)
    bar.close()
    assert capfd.readouterr().err == ""


@pytest.mark.parametrize("option", ["", "--quiet"])
def test_a_spawned_process_logs_as_its_parent(
    option: str, call: Call, capfd: pytest.CaptureFixture[str]
) -> None:
    assert call(*option.split(), "config", "list") == 0
    capfd.readouterr()
    process = multiprocessing.get_context("spawn").Process(
        target=call_with_logging, args=(console_level(), log_all)
    )
    process.start()
    process.join()
    assert process.exitcode == 0
    assert len(capfd.readouterr().err.splitlines()) == (2 if option else 3)


def test_a_program_that_imports_the_package_keeps_its_own_handlers(
    caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    package = logging.getLogger("fla_llm")
    monkeypatch.setattr(package, "handlers", [])
    monkeypatch.setattr(package, "propagate", True)
    package.setLevel(logging.NOTSET)
    with caplog.at_level(logging.INFO):
        log_all()
    assert [record.levelname for record in caplog.records] == ["INFO", "WARNING", "ERROR"]
    assert console_level() is None
