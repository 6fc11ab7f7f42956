"""The help of every command shows a setting and a preset that this very command accepts."""

import re
from collections.abc import Iterator
from typing import Any

import click
import pytest
from click.shell_completion import ShellComplete
from click.testing import CliRunner

from fla_llm.cli import fla
from fla_llm.cli.config import CLASSES, DIFFUSION, PRESETS, default_settings
from fla_llm.core.config import load_config

SETTINGS_OF = {"plan": "tune", "config show": "pretrain"}
"""Commands that take the settings of another command; config show takes those of each."""


def commands(group: click.Group, path: str = "") -> Iterator[tuple[str, click.Command]]:
    """Yield every command of ``fla`` that has no commands below it, with its name."""
    context = click.Context(group)
    for name in group.list_commands(context):
        command = group.get_command(context, name)
        assert command is not None
        if isinstance(command, click.Group):
            yield from commands(command, f"{name} ")
        else:
            yield f"{path}{name}", command


def option(command: click.Command, name: str) -> str:
    """Return the help of an option."""
    return next(str(one.help) for one in command.params if name in one.opts and isinstance(one, click.Option))


CONFIGURED = {
    name: command
    for name, command in commands(fla)
    if any("--set" in parameter.opts for parameter in command.params)
}


def load(name: str, **given: Any) -> Any:
    """Return a command's settings as the command itself loads them."""
    base = default_settings(SETTINGS_OF.get(name, name))
    return load_config(type(base), base=base, presets=PRESETS.get(SETTINGS_OF.get(name, name)), **given)


def test_every_command_with_settings_is_known_here() -> None:
    # The second kind of run of fla tune has other settings under an option.
    assert CONFIGURED.keys() | {DIFFUSION} == {*CLASSES, *SETTINGS_OF}


@pytest.mark.parametrize("name", CONFIGURED)
def test_the_setting_shown_is_accepted_and_changes_something(name: str) -> None:
    (example,) = re.findall(r"such as (\S+=\S+)\.$", option(CONFIGURED[name], "--set"))
    assert load(name, overrides=[example]) != load(name)


@pytest.mark.parametrize("name", CONFIGURED)
def test_a_preset_is_shown_where_there_are_presets_and_can_be_loaded(name: str) -> None:
    shown = re.findall(r"preset such as ([\w-]+)", option(CONFIGURED[name], "--config"))
    assert len(shown) == (SETTINGS_OF.get(name, name) in PRESETS)
    assert "preset" not in option(CONFIGURED[name], "--config") or shown
    for preset in shown:
        assert load(name, source=preset) != load(name)


@pytest.mark.parametrize(
    ("words", "typed", "expected"),
    [
        ("fla tune --config", "phoenix14t-q", "phoenix14t-qwen"),
        ("fla pretrain --config", "pap", "paper"),
        ("fla evaluate runs/stage2 --protocol", "gf", "gfslt"),
        ("fla evaluate runs/stage2 --split", "d", "dev"),
        ("fla", "pret", "pretrain"),
    ],
)
def test_the_shell_completes_names(words: str, typed: str, expected: str) -> None:
    completion = ShellComplete(fla, {}, "fla", "_FLA_COMPLETE")
    items = completion.get_completions(words.split()[1:], typed)
    assert expected in [item.value for item in items]


def test_a_misspelt_command_is_named_with_its_neighbour() -> None:
    done = CliRunner().invoke(fla, ["extrct"])
    assert done.exit_code == 2
    assert "No such command 'extrct'. Did you mean 'extract'?" in done.stderr
