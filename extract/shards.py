"""Shards of a process: named by the user, by a Slurm array, or by torchrun."""

from collections.abc import Mapping
from dataclasses import dataclass

from ..core.errors import ConfigError

Shard = tuple[int, int]
"""(i, n): every n-th sample of a split, from the i-th, counted from 0."""
WHOLE: Shard = (0, 1)
_BY_HAND = "Say which shard this is by --shard i/n."


@dataclass(frozen=True, kw_only=True)
class ShardAssignment:
    """Shard named by the environment."""

    shard: Shard
    source: str
    """Description of the source, for people."""


def shard_of_environment(environment: Mapping[str, str]) -> ShardAssignment | None:
    """Return the shard of this task of a Slurm array, or of this process of torchrun.

    The shard is the position of the task in the array, also for arrays with steps (``0-14:2``). An array of a
    single task, or a single process under torchrun, names no shard.

    Args:
        environment: ``os.environ``, or a stand-in.

    Raises:
        ConfigError: the array is not an even range, an array and torchrun both name a shard, or a variable is
            not a number.
    """
    found = [each for each in (_slurm(environment), _torchrun(environment)) if each is not None]
    if len(found) > 1:
        raise ConfigError(
            f"The shard must be named once, but {found[0].source} and {found[1].source} both name one.\n"
            f"{_BY_HAND}"
        )
    return found[0] if found else None


def assign(
    *, shard: Shard | None, count: int | None, environment: Mapping[str, str]
) -> tuple[list[Shard], str | None]:
    """Return the shards that this command writes, and the source if the environment names them.

    Args:
        shard: the one shard that the user asks for; or
        count: the number of shards, all of them asked for. Neither: the shard of the environment.
        environment: ``os.environ``, or a stand-in.

    Raises:
        ConfigError: each of several tasks is asked for all shards, or as :func:`shard_of_environment`.
    """
    if shard is not None:
        return [shard], None
    found = shard_of_environment(environment)
    if count is None:
        return ([WHOLE], None) if found is None else ([found.shard], found.source)
    # Each task of an array would write all shards, and the tasks would wait for each other's locks.
    if found is not None:
        raise ConfigError(
            f"All shards must be written by one command, but this is one of the tasks of {found.source}.\n"
            "Leave out --shards, --devices and --engine, or run the command outside."
        )
    return [(index, count) for index in range(count)], None


def _slurm(environment: Mapping[str, str]) -> ShardAssignment | None:
    if "SLURM_ARRAY_TASK_ID" not in environment:
        return None
    id_ = _number(environment, "SLURM_ARRAY_TASK_ID")
    first, last = _number(environment, "SLURM_ARRAY_TASK_MIN"), _number(environment, "SLURM_ARRAY_TASK_MAX")
    count = _number(environment, "SLURM_ARRAY_TASK_COUNT")
    step, rest = divmod(last - first, count - 1) if count > 1 else (1, last - first)
    if rest or step < 1 or not first <= id_ <= last or (id_ - first) % step:
        raise ConfigError(
            "A Slurm array must be a whole range such as 0-7 to name shards, "
            f"but has {count} tasks from {first} to {last}, this one {id_}.\n{_BY_HAND}"
        )
    source = f"Slurm array {first}-{last}{f':{step}' if step > 1 else ''}, task {id_}"
    return ShardAssignment(shard=((id_ - first) // step, count), source=source) if count > 1 else None


def _torchrun(environment: Mapping[str, str]) -> ShardAssignment | None:
    if not {"RANK", "WORLD_SIZE"} <= set(environment):
        return None
    rank, world = _number(environment, "RANK"), _number(environment, "WORLD_SIZE")
    if not 0 <= rank < world:
        raise ConfigError(f"RANK must lie in 0..WORLD_SIZE - 1, but is {rank} of {world}.\n{_BY_HAND}")
    source = f"torchrun, rank {rank} of {world}"
    return ShardAssignment(shard=(rank, world), source=source) if world > 1 else None


def _number(environment: Mapping[str, str], name: str) -> int:
    value = environment.get(name, "")
    if not value.isascii() or not value.isdigit():
        raise ConfigError(f"{name} must be a whole number, but is {value!r}.\n{_BY_HAND}")
    return int(value)
