"""Every command names the next one with its real paths, on standard error, and the words are accepted."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner

from fla_llm.cli import fla
from fla_llm.cli.hints import NEXT, next_command

from .test_help import commands

ENDS = {"app", "translate", "score", "plan", "config list", "config show", "config copy", "cache export"}
"""Commands behind which nothing follows, or whose output names the next command itself."""
OUT, MANIFEST = Path("my runs/x"), Path("m.jsonl")
GIVEN: dict[str, Any] = {
    "out": OUT, "manifest": MANIFEST, "poses": None, "ckpt": Path("stage1"), "encoder": None,
    "run": Path("r"), "features": (Path("c1"), Path("c2")), "source": Path("c1"), "folder": Path("c1"),
    "show": None, "repo": "user/name", "set_up": False, "environment": None, "detector": "mediapipe",
    "runs": (),
    "result": {"manifest": "m.jsonl", "ok": True, "has_encoder": True, "faults": [], "out": "d"},
}  # fmt: skip


def test_every_command_names_the_next_or_is_an_end() -> None:
    assert {name for name, _ in commands(fla)} == NEXT.keys() | ENDS


@pytest.mark.parametrize("name", sorted(NEXT.keys() - {"report"}))
def test_the_next_command_is_accepted_as_it_stands(name: str, parse_fla: Callable[[str], None]) -> None:
    found = next_command(name, GIVEN)
    assert found is not None
    parse_fla(found)


class Asked(dict[str, Any]):
    """Parameters that note which of them were asked for."""

    def __init__(self) -> None:
        super().__init__(GIVEN)
        self.names: set[str] = set()

    def __getitem__(self, name: str) -> Any:
        self.names.add(name)
        return super().__getitem__(name)


@pytest.mark.parametrize("name", sorted(NEXT))
def test_the_table_asks_for_parameters_that_the_command_has(name: str) -> None:
    asked, command = Asked(), dict(commands(fla))[name]
    next_command(name, asked)
    assert asked.names <= {str(parameter.name) for parameter in command.params} | {"result"}


def test_names_with_spaces_can_be_pasted() -> None:
    assert next_command("pretrain", GIVEN) == "fla extract --ckpt 'my runs/x' --manifest m.jsonl --out cache"


@pytest.mark.parametrize(
    ("name", "changed"),
    [
        ("prepare", {"result": {"manifest": None}}),
        ("tune", {"dry_run": True}),
        ("doctor", {"result": {"ok": False}}),
        ("cache verify", {"result": {"faults": ["damaged"]}}),
        ("export", {"result": {"has_encoder": False}}),
        ("report", {}),
    ],
)
def test_without_a_result_there_is_no_next_command(name: str, changed: dict[str, Any]) -> None:
    assert next_command(name, {**GIVEN, **changed}) is None


@pytest.mark.parametrize(
    ("name", "changed", "words"),
    [
        ("prepare", {"poses": "p"}, "--set encoder.kind=poses"),
        ("extract", {"encoder": "poses"}, "fla tune --config uni-sign"),
        ("evaluate", {"manifest": None}, "fla report r"),
        ("poses", {"set_up": True, "environment": Path("e")}, "--out poses --environment e"),
        ("poses", {"set_up": True, "detector": "rtmlib"}, "--detector rtmlib --weights DIR"),
    ],
)  # fmt: skip
def test_the_next_command_follows_the_options(name: str, changed: dict[str, Any], words: str) -> None:
    assert words in (next_command(name, {**GIVEN, **changed}) or "")


@pytest.mark.parametrize(("options", "is_shown"), [((), True), (("--json",), False)])
def test_people_see_it_on_standard_error_and_programs_do_not(
    options: tuple[str, ...], is_shown: bool, cached: Path
) -> None:
    done = CliRunner().invoke(fla, ["cache", "info", str(cached), *options])
    assert (f"next: fla tune --features {cached}" in done.stderr) == is_shown
    assert "next:" not in done.stdout
    quiet = CliRunner().invoke(fla, ["--quiet", "cache", "info", str(cached), *options])
    assert quiet.stderr == ""
