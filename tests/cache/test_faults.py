"""Killed, or out of disk, at any operation on journal and shard: nothing is lost, nothing half is whole."""

import mmap
import os
import runpy
import signal
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from fla_llm.cache.finished import read_finished
from fla_llm.cache.verify import verify
from fla_llm.core.errors import CacheError

Faults: Any = runpy.run_path(str(Path(__file__).with_name("faults.py")))["Faults"]
NUM_ROWS = 3
STATES = ("fresh", "torn", "another plan")
"""What a run finds: nothing, a journal with half a video at its end, or the journal of other videos."""
MEMORY = Path("/dev/shm")
"""A disk of memory, where Linux has one: a sync costs nothing there."""
OPENING = 16
"""Operations in which a journal is opened and the first row taken; behind them, all runs do the same."""
BAD = "trä/1"


class Run:
    """A shard of two videos and one that cannot be read, written as extraction does it."""

    def __init__(self, maker: Any) -> None:
        self.maker = maker
        self.rows = maker.rows(NUM_ROWS)
        self.whole = maker.write(self.rows, bad=BAD).read_bytes()
        self.done = mmap.mmap(-1, 1)  # shared with forks
        """How many rows the writer has taken since it was opened."""

    def __call__(self, folder: Path) -> int | None:
        """Write what is missing; return how many rows were there already, None for all and the shard."""
        self.done[0] = 0
        path = folder / "train-0-of-1.h5"
        if read_finished(path, rows=self.rows, provenance=self.maker.made_by()) is not None:
            return None
        with self.maker.writer(self.rows, folder=folder) as writer:
            pending = writer.pending
            for row in pending:
                if row.id == BAD:
                    writer.reject(row, "no frames")
                else:
                    writer.append(row, self.maker.features(self.rows.index(row)))
                self.done[0] += 1
            writer.finish()
        return NUM_ROWS - len(pending)

    def begin(self, folder: Path, state: str) -> int:
        """Leave a journal behind as an earlier run would, and return how many rows of it count."""
        if state == "fresh":
            return 0
        with self.maker.writer(self.rows if state == "torn" else self.rows[:2], folder=folder) as writer:
            writer.append(self.rows[0], self.maker.features(0))
        with (folder / "train-0-of-1.partial" / "features.bin").open("ab") as file:
            file.write(b"half a video")
        return 1 if state == "torn" else 0

    def check_resumed(self, folder: Path, *, already: int) -> None:
        """Hold the laws after a strike: nothing half is named as whole, and a rerun finishes."""
        if any(folder.glob("*.h5")):
            assert verify(folder) == []
        taken = already + self.done[0]
        kept = self(folder)
        assert kept in (None, taken, taken + 1)  # one may be in though the writer did not live to say so
        assert [path.name for path in folder.iterdir()] == ["train-0-of-1.h5"]
        assert (folder / "train-0-of-1.h5").read_bytes() == self.whole


@pytest.fixture
def run(maker: Any) -> Run:
    return Run(maker)


@pytest.fixture
def folder() -> Iterator[Path]:
    with tempfile.TemporaryDirectory(dir=MEMORY if MEMORY.is_dir() else None) as name:
        yield Path(name)


def killed(work: Callable[[], Any], faults: Any) -> int:
    """Do ``work`` in a fork under ``faults``, and return how it ended."""
    pid = os.fork()
    if pid == 0:
        status = 1
        try:
            with faults.injected():
                work()
            status = 0
        finally:
            os._exit(status)
    return os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])


def points(run: Run, folder: Path, state: str) -> list[tuple[str, dict[str, Any]]]:
    """Return (operation, how to strike) for each place to strike at in a run that goes on from ``state``.

    Before every operation, and half-way through every write.
    """
    run.begin(folder, state)
    faults = Faults(folder)
    with faults.injected():
        run(folder)
    assert (folder / "train-0-of-1.h5").read_bytes() == run.whole
    assert {"open", "write", "truncate", "fsync", "replace", "unlink", "rmdir"} <= set(faults.operations)
    operations = faults.operations if state == "fresh" else faults.operations[:OPENING]
    return [
        (name, {"at": at, "half": half})
        for at, name in enumerate(operations)
        for half in (False, True)[: 1 + (name == "write")]
    ]


def kill_everywhere(run: Run, folder: Path) -> int:
    """Kill runs at each point there is, resume them, and return how many there were."""
    killings = 0
    for state in STATES:
        for _, how in points(run, folder / state, state):
            killings += 1
            place = folder / str(killings)
            already = run.begin(place, state)
            assert killed(partial(run, place), Faults(place, **how)) == -signal.SIGKILL, (state, how)
            run.check_resumed(place, already=already)
    return killings


def test_killed_at_any_operation_it_resumes_to_the_same_bytes(folder: Path) -> None:
    """In a process of its own: one without torch is forked in a tenth of the time."""
    command = [sys.executable, __file__, str(folder)]
    result = subprocess.run(command, capture_output=True, text=True, check=False)
    assert result.returncode == 0, result.stderr
    assert int(result.stdout) > 150


@pytest.mark.parametrize("state", STATES)
def test_a_disk_full_at_any_operation_is_named(run: Run, folder: Path, state: str) -> None:
    """It stays full until the rerun; a write may have taken a part of its bytes before."""
    for number, (operation, how) in enumerate(points(run, folder / "undisturbed", state)):
        place = folder / str(number)
        already = run.begin(place, state)
        with Faults(place, **how, strike="full").injected():
            if operation == "rmdir":
                run(place)  # the shard is there; an empty folder left beside it does no harm
            else:
                with pytest.raises(CacheError, match=r"The disk is full: .*train-0-of-1.h5 cannot be finis"):
                    run(place)
        run.check_resumed(place, already=already)


@pytest.mark.parametrize("state", STATES)
def test_a_power_cut_loses_no_shard(run: Run, folder: Path, state: str) -> None:
    """The shard's bytes are synced before it gets its name, and its name before the journal is deleted."""
    run.begin(folder, state)
    faults = Faults(folder)
    with faults.injected():
        run(folder)
    assert faults.unsynced == []
    assert faults.operations.count("unlink") == 3


def test_a_power_cut_after_a_kill_loses_no_shard(run: Run, folder: Path) -> None:
    """A run killed between the rename and the deletion leaves a shard and its journal to the next run."""
    run.begin(folder, "torn")
    (folder / "train-0-of-1.h5").write_bytes(run.whole)
    faults = Faults(folder)
    with faults.injected():
        assert run(folder) is None
    assert faults.operations.count("unlink") == 3
    assert faults.unsynced == []


def test_a_short_write_is_completed(run: Run, folder: Path) -> None:
    """An operating system may take a part of any write, and no error need follow."""
    with Faults(folder, strike="short").injected():
        run(folder)
    assert (folder / "train-0-of-1.h5").read_bytes() == run.whole


def test_a_writer_that_failed_takes_no_more(run: Run, folder: Path) -> None:
    """What came behind half a video would be read back as something else."""
    faults = Faults(folder, strike="full", half=True)
    with faults.injected(), run.maker.writer(run.rows, folder=folder) as writer:
        faults.at = len(faults.operations)
        with pytest.raises(CacheError, match="The disk is full"):
            writer.append(run.rows[0], run.maker.features(0))
        with pytest.raises(ValueError, match="closed file"):
            writer.append(run.rows[0], run.maker.features(0))


if __name__ == "__main__":
    cache = runpy.run_path(str(Path(__file__).with_name("conftest.py")))["Maker"](Path(sys.argv[1]) / "cache")
    print(kill_everywhere(Run(cache), Path(sys.argv[1])))
