"""Workers read the memory of their parent, however they are started, and nothing is copied."""

import multiprocessing
import pickle
from collections.abc import Iterator
from multiprocessing.reduction import ForkingPickler
from typing import Any

import numpy as np
import pytest

from fla_llm.core.errors import ConfigError
from fla_llm.core.worker_memory import WorkerMemory


def read_when_told(memory: WorkerMemory, told: Any) -> None:
    """Send what stands in the memory once the parent has changed it: the body of a worker."""
    told.send("ready")
    told.recv()
    told.send(memory.view(3, (2, 2), np.uint8).tolist())
    memory.view(0, (1,))[0] = 99


@pytest.fixture(params=["spawn", "forkserver"])
def started(request: pytest.FixtureRequest, start_method: Any) -> Iterator[Any]:
    """Make a start method that copies the usual one."""
    with start_method(request.param):
        yield multiprocessing.get_context()


def test_a_worker_sees_what_its_parent_writes_after_it_was_started(started: Any) -> None:
    memory = WorkerMemory(8, workers=1)
    assert memory.is_shared
    ours, theirs = started.Pipe()
    worker = started.Process(target=read_when_told, args=(memory, theirs))
    worker.start()
    assert ours.recv() == "ready"
    memory.view(3, (2, 2))[:] = [[1, 2], [3, 4]]
    ours.send("now")
    assert ours.recv() == [[1, 2], [3, 4]]
    worker.join()
    assert memory.view(0, (1,))[0] == 99


def test_what_is_not_shared_is_never_copied(start_method: Any) -> None:
    with pytest.raises(TypeError, match="made for no workers"):
        pickle.dumps(WorkerMemory(8, workers=0))
    with start_method("spawn"), pytest.raises(RuntimeError, match="inherit"):
        ForkingPickler.dumps(WorkerMemory(8, workers=1))  # shared only with processes that start


def test_memory_that_has_no_room_is_refused(start_method: Any) -> None:
    with (
        start_method("spawn"),
        pytest.raises(ConfigError, match=r"GiB must be shared .* GiB free.\n.*training.workers=0"),
    ):
        WorkerMemory(2**60, workers=1)


def test_forked_workers_and_none_share_by_themselves(start_method: Any) -> None:
    with start_method("fork"):
        assert not WorkerMemory(8, workers=1).is_shared
    array = WorkerMemory(4, workers=0).view(0, (2,), np.float16)
    array[:] = 1.5
    assert array.tolist() == [1.5, 1.5]
