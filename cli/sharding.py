"""Options of commands whose work is divided into shards: extract, describe and poses."""

from __future__ import annotations

import re
from functools import reduce

import click

from ..core.sample import SPLITS
from .options import Decorator


class ShardType(click.ParamType):
    """``i/n``: the i-th of n shards, from 0."""

    name = "i/n"

    def convert(
        self, value: str | tuple[int, int], param: click.Parameter | None, ctx: click.Context | None
    ) -> tuple[int, int]:
        """Return (i, n)."""
        if isinstance(value, tuple):
            return value
        match = re.fullmatch(r"(\d+)/(\d+)", value)
        # 3/3 is a common mistake: shards are counted from 0.
        if match is None or not int(match[1]) < int(match[2]):
            self.fail(f"must be i/n with i from 0 to n - 1, but is {value!r}.", param, ctx)
        return int(match[1]), int(match[2])


split_option = click.option(
    "--split", "splits", multiple=True, type=click.Choice(SPLITS), help="May be repeated.  [default: all]"
)
shard_option = click.option(
    "--shard",
    type=ShardType(),
    help="Every n-th video, from the i-th.  [default: by Slurm array or torchrun, else 0/1]",
)
_OPTIONS: tuple[Decorator, ...] = (
    split_option,
    shard_option,
    click.option(
        "--shards", "num_shards", type=click.IntRange(min=1), metavar="N", help="Write all of N shards."
    ),
    click.option(
        "--devices",
        metavar="LIST|all",
        help="A process for each device, such as cuda:0,cuda:1, with some of the shards.",
    ),
    click.option(
        "--engine",
        type=click.Choice(("local", "ray")),
        default="local",
        show_default=True,
        help="ray: a Ray task for each of --shards.",
    ),
)


def shard_options(command: Decorator) -> Decorator:
    """Add ``--split``, ``--shard``, ``--shards``, ``--devices`` and ``--engine`` to a command."""
    # The decorator applied last is the first in the help.
    return reduce(lambda made, option: option(made), reversed(_OPTIONS), command)


def refuse_contradictions(
    shard: tuple[int, int] | None, num_shards: int | None, devices: str | None, *, engine: str, device: str
) -> None:
    """Refuse contradictory options for the assignment of shards.

    Raises:
        click.UsageError: one shard and all shards are asked for, or two options name the devices.
    """
    several = {"--shards": num_shards, "--devices": devices, "--engine ray": engine == "ray" or None}
    given = [name for name, value in several.items() if value is not None]
    if shard is not None and given:
        raise click.UsageError(f"--shard names one shard, {given[0]} is about all: give either.")
    if devices is not None and (device != "auto" or engine == "ray"):
        raise click.UsageError("--devices takes the place of --device and --engine: give it alone.")
    if engine == "ray" and num_shards is None:
        raise click.UsageError("--engine ray needs --shards N: a task for each.")
