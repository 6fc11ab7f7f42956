"""An item of a worker process arrives, or its error does; the main process never waits for ever."""

import os
import resource
import signal
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, NoReturn

import pytest
import torch
from torch.utils.data import DataLoader

from fla_llm.core.errors import DataError
from fla_llm.training.batches import BatchDataset
from fla_llm.training.workers import _print_but_broken_transfers, worker_errors

PATIENCE_SECONDS = 50


@pytest.fixture(autouse=True)
def _no_endless_wait() -> Iterator[None]:
    """Fail instead of waiting for an item that never comes."""

    def give_up(*_: object) -> NoReturn:
        raise TimeoutError("the loader still waits for an item")

    before = signal.signal(signal.SIGALRM, give_up)
    signal.alarm(PATIENCE_SECONDS)
    yield
    signal.alarm(0)
    signal.signal(signal.SIGALRM, before)


class Items:
    """Four items; the third is what ``make`` returns."""

    def __init__(self, make: Callable[[], Any]) -> None:
        self.make = make

    def __len__(self) -> int:
        return 4

    def get(self, index: int, epoch: int) -> dict[str, Any]:
        return {"item": self.make() if index == 2 else index}


def load(make: Callable[[], Any], *, num_workers: int = 2) -> list[Any]:
    """Load the four batches of one item each, as training does."""
    batches = BatchDataset(Items(make), [[0], [1], [2], [3]], lambda items: items[0])
    loader = DataLoader(batches, batch_size=None, num_workers=num_workers)
    with worker_errors(remedy="Run the same command again."):
        return [batch["item"] for batch in loader]


def beyond_shared_memory() -> torch.Tensor:
    """A tensor that shared memory has no room for: a limit on files stands for a full /dev/shm."""
    resource.setrlimit(resource.RLIMIT_FSIZE, (1 << 16, 1 << 16))
    return torch.zeros(1 << 20)


def beyond_memory() -> bytes:
    """Bytes that memory holds once, but not the second time, which pickling needs."""
    item = bytes(1 << 28)
    used = int(Path("/proc/self/statm").read_text().split()[0]) * resource.getpagesize()
    resource.setrlimit(resource.RLIMIT_AS, (used + (1 << 26), used + (1 << 26)))
    return item


def beyond_file_handles() -> torch.Tensor:
    item = torch.zeros(8)
    resource.setrlimit(resource.RLIMIT_NOFILE, (3, 3))
    return item


@pytest.mark.parametrize(
    ("make", "reason"),
    [
        (lambda: lambda: None, "Can't (pickle|get local object)"),
        (beyond_shared_memory, r"RuntimeError\(.*File too large"),
        (beyond_memory, "MemoryError"),
        (beyond_file_handles, "Too many open files"),
    ],
)
def test_an_item_that_cannot_be_sent_is_an_error_with_its_reason(
    make: Callable[[], Any], reason: str
) -> None:
    with pytest.raises(DataError, match=rf"must reach the main process, .*{reason}.*\n.*ulimit -n"):
        load(make)


def test_an_error_of_a_class_that_cannot_be_pickled_arrives_with_its_traceback() -> None:
    def make() -> NoReturn:
        class Local(Exception):
            pass

        raise Local("the very reason")

    with pytest.raises(RuntimeError, match="Traceback(.|\n)*the very reason"):
        load(make)


@pytest.mark.parametrize("num_workers", [0, 2])
def test_an_error_of_the_data_arrives_as_it_was_raised(num_workers: int) -> None:
    def make() -> NoReturn:
        raise DataError("a.mp4 is damaged.")

    with pytest.raises(DataError, match=r"^a\.mp4 is damaged\.$"):
        load(make, num_workers=num_workers)


@pytest.mark.parametrize("end", [lambda: os._exit(3), lambda: os.kill(os.getpid(), signal.SIGKILL)])
def test_a_worker_that_dies_is_an_error_with_a_remedy(end: Callable[[], None]) -> None:
    with pytest.raises(DataError, match="one did not: DataLoader worker .*\nRun the same command again"):
        load(end, num_workers=1)


def test_other_errors_stay_what_they_are() -> None:
    def make() -> NoReturn:
        raise RuntimeError("a fault of the model")

    with pytest.raises(RuntimeError, match="a fault of the model"):
        load(make)


def test_tensors_arrive_where_the_temporary_folder_is_too_deep_for_a_socket(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    deep = tmp_path / ("deep" * 28)
    deep.mkdir()
    monkeypatch.setattr(tempfile, "tempdir", str(deep))
    assert load(lambda: torch.full((8,), 2))[2].tolist() == [2] * 8
    assert tempfile.gettempdir() == str(deep)


def test_a_broken_transfer_is_not_printed_and_other_errors_of_threads_are(
    capsys: pytest.CaptureFixture[str],
) -> None:
    for error in (ConnectionResetError("cut"), EOFError(), RuntimeError("a fault")):
        _print_but_broken_transfers(type(error), error, None)
    assert capsys.readouterr().err == "RuntimeError: a fault\n"
