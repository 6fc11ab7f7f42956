"""Options and printing for all commands."""

import json
import logging
import math
import sys
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

import click
from click.shell_completion import CompletionItem

from ..core.text import printable, printable_json
from .hints import next_command

logger = logging.getLogger(__name__)


class FiniteRange(click.FloatRange):
    """Range of numbers without nan and infinity."""

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Any:
        """Return the number."""
        number = super().convert(value, param, ctx)
        # nan passes click's bounds: every comparison with nan is false.
        if not math.isfinite(number):
            self.fail(f"{number} is not a finite number.", param, ctx)
        return number


Decorator = Callable[[Any], Any]


def config_options(example: str, *, preset: str | None = None, presets: Path | None = None) -> Decorator:
    """Return a decorator for the options ``--config`` (``config_source``) and ``--set`` (``overrides``).

    Args:
        example: a setting of the command, ``key=value``, for the help.
        preset: name of one of the command's presets, for the help. None: the command has no presets.
        presets: folder of the presets, whose names the shell completes.
    """
    sources = "A YAML file of settings." if preset is None else f"A preset such as {preset}, or a YAML file."

    def complete(ctx: click.Context, param: click.Parameter, typed: str) -> list[CompletionItem]:
        return completions(typed, [] if presets is None else sorted(f.stem for f in presets.glob("*.yaml")))

    config = click.option(
        "--config", "config_source", metavar="FILE" if preset is None else "NAME|FILE", help=sources,
        shell_complete=complete,
    )  # fmt: skip
    overrides = click.option(
        "--set", "overrides", multiple=True, metavar="KEY=VALUE", help=f"One setting, such as {example}."
    )
    return lambda command: config(overrides(command))


def completions(typed: str, names: Iterable[str]) -> list[CompletionItem]:
    """Return the names that begin with what was typed, or let the shell complete a file."""
    found = [CompletionItem(name) for name in names if name.startswith(typed)]
    return found or [CompletionItem(typed, type="file")]


def _protocols(ctx: click.Context, param: click.Parameter, typed: str) -> list[CompletionItem]:
    from ..scoring.protocols import ALL_PROTOCOLS, PROTOCOLS

    return completions(typed, [*PROTOCOLS, ALL_PROTOCOLS])


protocol_option = click.option(
    "--protocol", metavar="NAME", default="sacrebleu", show_default=True, shell_complete=_protocols,
    help="A convention, or all of them.",
)  # fmt: skip
seed_option = click.option("--seed", type=click.IntRange(min=0), help="Overrides the settings' seed.")
device_option = click.option(
    "--device", default="auto", show_default=True, help="auto, cpu, mps, cuda or cuda:N."
)
json_option = click.option("--json", "as_json", is_flag=True, help="One JSON object on standard output.")
limit_option = click.option(
    "--limit", type=click.IntRange(min=1), metavar="N", help="Only the first N of each split: a trial run."
)
dry_run_option = click.option(
    "--dry-run", is_flag=True, help="Check everything, say what would be done, stop."
)
resume_option = click.option("--resume", is_flag=True, help="Go on with the run that is in --out.")
allow_config_change_option = click.option(
    "--allow-config-change", is_flag=True, help="With --resume: go on though settings differ."
)
root_option = click.option(
    "--root", type=click.Path(file_okay=False), help="Where the manifest's videos lie on this machine."
)


llm_option = click.option(
    "--llm", metavar="ID|DIR", help="Where the run's language model lies now, if it was moved."
)


def _model_folders(ctx: click.Context, param: click.Parameter, typed: str) -> list[CompletionItem]:
    """Return the folders with a run or an export below the typed folder."""
    parent = Path(typed) if typed.endswith("/") else Path(typed).parent
    return completions(typed, sorted(str(file.parent) for file in parent.glob("*/run.json")))


model_option = click.option(
    "--model", metavar="DIR|USER/NAME", shell_complete=_model_folders,
    help="A folder of fla export, here or on the hub: encoder and translator.",
)  # fmt: skip


def with_seed(overrides: tuple[str, ...], seed: int | None) -> tuple[str, ...]:
    """Return ``overrides`` with ``--seed`` as the last word on ``seed``."""
    # Last, because later settings replace earlier ones.
    return overrides if seed is None else (*overrides, f"seed={seed}")


def emit(as_json: bool, content: dict[str, Any], text: str) -> None:
    """Print the result on standard output: a JSON object, or text for people.

    For people, the next command is logged too, on standard error.
    """
    click.echo(_json(content) if as_json else printable(text))
    context = click.get_current_context(silent=True)
    if as_json or context is None:
        return
    command = context.command_path.partition(" ")[2]
    if (words := next_command(command, {**context.params, "result": content})) is not None:
        logger.info(f"next: {words}")


def table(content: dict[str, Any]) -> str:
    """Return a result for people: a line for each entry.

    >>> print(table({"best_bleu4": 9.123456789, "dev": {"bleu4": 9.1, "chrf": 20.0}, "unreadable": ()}))
    best bleu4              9.123
    dev                     bleu4 9.1, chrf 20
    unreadable              none
    """
    return "\n".join(f"{name.replace('_', ' '):24}{_in_words(value)}" for name, value in content.items())


def _in_words(value: Any) -> str:
    """Return a value without Python's brackets, and a float with four significant digits."""
    if value is None or (isinstance(value, (tuple, list, dict)) and not value):
        return "none"
    if isinstance(value, float):
        return f"{value:.4g}" if abs(value) < 1000 else f"{value:.1f}"
    if isinstance(value, dict):
        return ", ".join(f"{name} {_in_words(inner)}" for name, inner in value.items())
    if isinstance(value, (tuple, list)):
        return "".join(f"\n  {_in_words(inner)}" for inner in value)
    return str(value)


def _json(content: dict[str, Any]) -> str:
    """Return indented JSON in the encoding of standard output."""
    text = printable_json(json.dumps(content, ensure_ascii=False, indent=2))
    try:
        text.encode(sys.stdout.encoding)
    except UnicodeEncodeError:  # such as cp1252: escapes by the stream's error handler would not be JSON
        return json.dumps(content, indent=2)
    return text
