"""``fla cache``: look into a feature cache, or verify it."""

from pathlib import Path

import click

from .options import emit, json_option

_folder_argument = click.argument("folder", type=click.Path(file_okay=False, path_type=Path), metavar="DIR")


@click.group()
def command() -> None:
    """Look into a feature cache, or verify it."""


@command.command()
@_folder_argument
@json_option
def info(folder: Path, as_json: bool) -> None:
    """Say what the cache in DIR holds and what made it."""
    from ..cache.summary import describe, summarise

    summary = summarise(folder)
    emit(as_json, summary, describe(summary))


@command.command()
@_folder_argument
@click.option("--deep", is_flag=True, help="Check every video too, and name the damaged ones.")
@json_option
@click.pass_context
def verify(context: click.Context, folder: Path, deep: bool, as_json: bool) -> None:
    """Check the cache in DIR for damage, missing shards and shards that disagree.

    Exit code 1: there are faults; they are listed.
    """
    from ..cache.verify import verify

    faults = verify(folder, deep=deep)
    lines = [": ".join(filter(None, (fault.shard, fault.video, fault.reason))) for fault in faults]
    emit(as_json, {"faults": [vars(fault) for fault in faults]}, "\n".join(lines) or f"{folder} is sound")
    context.exit(int(bool(faults)))
