"""Which shard a process takes: as told, or by its place in a Slurm array or under torchrun."""

import pytest

from fla_llm.core.errors import ConfigError
from fla_llm.extract.shards import assign, shard_of_environment


def slurm(id_: int, first: int, last: int, count: int) -> dict[str, str]:
    values = {"ID": id_, "MIN": first, "MAX": last, "COUNT": count}
    return {f"SLURM_ARRAY_TASK_{name}": str(value) for name, value in values.items()}


def torchrun(rank: int, world: int) -> dict[str, str]:
    return {"RANK": str(rank), "WORLD_SIZE": str(world), "LOCAL_RANK": str(rank)}


@pytest.mark.parametrize(
    ("environment", "shard"),
    [
        ({}, None),
        ({"SLURM_JOB_ID": "7", "WORLD_SIZE": "4"}, None),  # no array; a size without a rank
        (slurm(0, 0, 7, 8), (0, 8)),
        (slurm(8, 1, 8, 8), (7, 8)),  # counted from 1
        (slurm(6, 0, 14, 8), (3, 8)),  # 0-14:2
        (slurm(3, 3, 3, 1), None),  # an array of one task
        (torchrun(2, 4), (2, 4)),
        (torchrun(0, 1), None),
        (slurm(3, 3, 3, 1) | torchrun(2, 4), (2, 4)),
        (slurm(1, 0, 7, 8) | torchrun(0, 1), (1, 8)),
    ],
)
def test_the_environment_names_a_shard(environment: dict[str, str], shard: tuple[int, int] | None) -> None:
    found = shard_of_environment(environment)
    assert (found and found.shard) == shard


@pytest.mark.parametrize(
    ("environment", "message"),
    [
        (slurm(5, 0, 7, 3), r"whole range such as 0-7 .* but has 3 tasks from 0 to 7, this one 5"),
        (slurm(1, 0, 6, 4), r"4 tasks from 0 to 6, this one 1"),
        (slurm(9, 0, 7, 8), r"8 tasks from 0 to 7, this one 9"),
        (slurm(0, 0, 7, 0), r"has 0 tasks"),
        ({"SLURM_ARRAY_TASK_ID": "3"}, r"SLURM_ARRAY_TASK_MIN must be a whole number, but is ''"),
        ({"RANK": "x", "WORLD_SIZE": "2"}, r"RANK must be a whole number, but is 'x'"),
        (torchrun(4, 4), r"RANK must lie in 0..WORLD_SIZE - 1, but is 4 of 4"),
        (slurm(1, 0, 7, 8) | torchrun(1, 2), r"Slurm array 0-7, task 1 and torchrun, rank 1 of 2 both name"),
    ],
)
def test_an_environment_that_names_none_or_two_is_refused(environment: dict[str, str], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        shard_of_environment(environment)


def test_what_is_asked_for_comes_before_the_environment() -> None:
    array = slurm(1, 0, 7, 8)
    assert assign(shard=(2, 3), count=None, environment=array) == ([(2, 3)], None)
    assert assign(shard=(0, 1), count=None, environment=array | torchrun(1, 2)) == ([(0, 1)], None)
    assert assign(shard=None, count=None, environment=array) == ([(1, 8)], "Slurm array 0-7, task 1")
    assert assign(shard=None, count=None, environment={}) == ([(0, 1)], None)
    assert assign(shard=None, count=2, environment={}) == ([(0, 2), (1, 2)], None)


def test_each_of_several_tasks_is_not_to_write_everything() -> None:
    with pytest.raises(ConfigError, match=r"one command, but this is one of the tasks of torchrun, rank 1"):
        assign(shard=None, count=4, environment=torchrun(1, 2))
