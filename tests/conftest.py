"""What every room's tests share."""

import gc
import multiprocessing
import os
import random
import runpy
import signal
import socket
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path
from typing import Any

import pytest

from fla_llm.core.logs import configure_logging

SHARED_FIXTURES = ["stage_two_fixtures", "device_fixtures", "house_fixtures", "diffusion_fixtures"]
SHARED_DATA = Path(__file__).parents[1].parent / "shared" / "data"
PATIENCE_SECONDS = 120
PRELOADED = ["fla_llm.finetune.train"]
"""What the one server of a session imports, so that processes it forks need not."""


def pytest_configure(config: pytest.Config) -> None:
    """Load the shared fixtures, but not in the process that only deals out tests to the others."""
    # Their imports take it ten seconds, and the others start afterwards.
    if hasattr(config, "workerinput") or not config.getoption("numprocesses", None):
        for name in SHARED_FIXTURES:
            config.pluginmanager.import_plugin(name)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """CUDA tests skip without a device, unless FAIL_WITHOUT_CUDA=1 says that they may not."""
    import torch

    if torch.cuda.is_available() or os.environ.get("FAIL_WITHOUT_CUDA") == "1":
        return
    for item in items:
        if item.get_closest_marker("cuda"):
            item.add_marker(pytest.mark.skip(reason="no CUDA device"))


@pytest.fixture(scope="session", autouse=True)
def _one_thread() -> None:
    """Tiny tensors gain nothing by threads, forks do not inherit them, and their number decides last bits."""
    import torch

    torch.set_num_threads(1)
    os.environ["OMP_NUM_THREADS"] = "1"  # what an extraction takes


@pytest.fixture(scope="session", autouse=True)
def _imports_are_no_garbage() -> Iterator[None]:
    """Every training ends by collecting garbage, and would look through all that was ever imported."""
    gc.collect()
    gc.freeze()
    yield
    gc.unfreeze()


@pytest.fixture(scope="session", autouse=True)
def _short_goodbyes() -> Iterator[None]:
    """A loader waits up to five seconds for each worker of a failed epoch, and many tests make one fail."""
    from torch.utils.data import _utils

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(_utils, "MP_STATUS_CHECK_INTERVAL", 0.5)
        yield


@pytest.fixture(scope="session", autouse=True)
def _no_claim_on_the_machine() -> Iterator[None]:
    """A library that makes a process a real-time one starves the processes beside it until they fail."""
    policy = os.sched_getscheduler(0)
    yield
    assert os.sched_getscheduler(0) == policy, "a test changed the scheduling policy of its process"


@pytest.fixture(autouse=True)
def _logging_as_a_command() -> None:
    """Messages reach standard error, and a test of --quiet leaves the next test alone."""
    configure_logging()


@pytest.fixture(autouse=True)
def _no_random_leak() -> Iterator[None]:
    """A test that seeds the global streams leaves them as it found them."""
    import numpy as np
    import torch

    states = random.getstate(), np.random.get_state(), torch.get_rng_state()
    yield
    random.setstate(states[0])
    np.random.set_state(states[1])
    torch.set_rng_state(states[2])


@pytest.fixture(scope="session")
def torchrun() -> Callable[..., list[int | None]]:
    """Return a function that runs a script as torchrun does, in ``processes``, and returns their exit codes.

    Of the script's globals ``ENVIRONMENT`` is what torchrun sets; the others are the caller's.
    """
    # The server imports everything once (seconds) and forks the processes from there.
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(PRELOADED)

    def run(script: Path, *, processes: int, **given: Any) -> list[int | None]:
        common = {"MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(_free_port()), "OMP_NUM_THREADS": "1"}
        workers = []
        for rank in map(str, range(processes)):
            place = {"WORLD_SIZE": str(processes), "RANK": rank, "LOCAL_RANK": rank}
            names = given | {"ENVIRONMENT": common | place}
            workers.append(context.Process(target=runpy.run_path, args=(str(script), names, "__main__")))
        for worker in workers:
            worker.start()
        for worker in workers:
            worker.join(timeout=PATIENCE_SECONDS)
        return [worker.exitcode for worker in workers]

    return run


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


@pytest.fixture
def start_method() -> Callable[[str], AbstractContextManager[None]]:
    """Return a block in which processes start by a method: forkserver is usual from Python 3.14 on."""

    @contextmanager
    def use(method: str) -> Iterator[None]:
        before = multiprocessing.get_start_method()
        multiprocessing.set_start_method(method, force=True)
        multiprocessing.set_forkserver_preload(PRELOADED)
        try:
            yield
        finally:
            multiprocessing.set_start_method(before, force=True)

    return use


@pytest.fixture
def as_in_a_terminal() -> Iterator[None]:
    """A shell starts background jobs with SIGINT ignored, which is then respected."""
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    signal.signal(signal.SIGINT, before)


@pytest.fixture
def other_modes(tmp_path: Path) -> Callable[[Path], dict[str, str]]:
    """Return a function that returns the files below a folder whose mode is not that of a new file."""
    new = tmp_path / "new"
    new.touch()

    def find(folder: Path) -> dict[str, str]:
        files = [path for path in folder.rglob("*") if path.is_file()]
        assert files
        modes = {str(path.relative_to(folder)): oct(path.stat().st_mode) for path in files}
        return {name: mode for name, mode in modes.items() if mode != oct(new.stat().st_mode)}

    return find


@pytest.fixture(scope="session")
def shared_data() -> Path:
    """Real clips and annotation files; tests that ask for them skip where they are absent."""
    if not SHARED_DATA.is_dir():
        pytest.skip(f"no real data at {SHARED_DATA}")
    return SHARED_DATA
