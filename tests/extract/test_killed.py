"""Whole extractions killed, out of disk, or without a worker: a rerun finishes them to the same bytes."""

import faulthandler
import json
import os
import runpy
import signal
import socket
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import pytest
import torch
from click.testing import CliRunner

from fla_llm.cache.verify import verify
from fla_llm.cli import fla
from fla_llm.core.errors import CacheError
from fla_llm.corpora.manifest import Manifest, write_manifest
from fla_llm.encoder.model import VisualEncoder
from fla_llm.encoder.store import save_encoder
from fla_llm.extract.result import Extracted

Faults: Any = runpy.run_path(str(Path(__file__).parents[1] / "cache" / "faults.py"))["Faults"]
Run = Callable[..., Extracted]
SHARD, JOURNAL = "dev-0-of-1.h5", "dev-0-of-1.partial"
PATIENCE_SECONDS = 60
NUM_CLIPS = 40
"""Of the command's corpus: enough that none is done before the signal comes."""
MEMORY = Path("/dev/shm")


@pytest.fixture
def folder() -> Iterator[Path]:
    """A folder on a disk of memory, where Linux has one: a sync costs nothing there."""
    with tempfile.TemporaryDirectory(dir=MEMORY if MEMORY.is_dir() else None) as name:
        yield Path(name)


def begin(work: Callable[[], Any]) -> int:
    """Do ``work`` in a fork of this warm process, and return its process id."""
    pid = os.fork()
    if pid == 0:
        status = 1
        try:
            faulthandler.dump_traceback_later(PATIENCE_SECONDS // 2, file=sys.__stderr__)
            signal.alarm(PATIENCE_SECONDS)
            torch.set_num_threads(1)  # a fork has none of the parent's threads
            work()
            status = 0
        finally:
            os._exit(status)
    return pid


def end_of(pid: int) -> int:
    """Return the signal that ended a process, or its exit status."""
    return os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])


def num_journalled(out: Path) -> int:
    """Return how many clips are in: the whole lines of the journal but the first."""
    index = out / JOURNAL / "index.jsonl"
    return max(0, index.read_bytes().count(b"\n") - 1) if index.exists() else 0


def wait_until_journalled(out: Path, count: int) -> None:
    give_up = time.monotonic() + PATIENCE_SECONDS
    while num_journalled(out) < count:
        assert time.monotonic() < give_up
        time.sleep(0.0005)


class Sweep:
    """Extractions of two clips, each struck at another operation on files."""

    def __init__(self, run_extract: Run, folder: Path) -> None:
        self.extract = partial(run_extract, splits=["dev"])
        self.folder = folder
        faults = Faults(folder)
        with faults.injected():
            self.extract(out=folder / "whole")
        self.operations = faults.operations
        self.whole = (folder / "whole" / SHARD).read_bytes()

    def points(self) -> Iterator[tuple[str, dict[str, Any], Path]]:
        """Yield (operation, how to strike, folder).

        The operations that begin, take the two clips and end, and some of the many writes of HDF5 between
        them: tests/cache/test_faults.py strikes at each there is.
        """
        last = len(self.operations)
        for at in (0, 4, 9, *range(11, 18), *range(18, last - 6, 25), *range(last - 6, last)):
            name = self.operations[at]
            for half in (False, True)[: 1 + (name == "write")]:
                yield name, {"at": at, "half": half}, self.folder / f"{at}{half}"

    def extract_struck(self, faults: Any, out: Path) -> None:
        with faults.injected():
            self.extract(out=out)

    def check_rerun(self, out: Path) -> None:
        """Nothing half is named as whole, and a rerun encodes what is not in the journal, and no more."""
        is_finished = (out / SHARD).exists()
        assert not is_finished or verify(out) == []
        missing = 0 if is_finished else 2 - num_journalled(out)
        assert self.extract(out=out).clips == missing
        assert (out / SHARD).read_bytes() == self.whole
        assert [path.name for path in out.iterdir()] == [SHARD]


def test_killed_at_any_operation_it_resumes_to_the_same_bytes(run_extract: Run, folder: Path) -> None:
    sweep = Sweep(run_extract, folder)
    for _, how, out in sweep.points():
        struck = partial(sweep.extract_struck, Faults(folder, **how), out)
        assert end_of(begin(struck)) == -signal.SIGKILL, how
        sweep.check_rerun(out)


def test_a_disk_full_at_any_operation_is_named(run_extract: Run, folder: Path) -> None:
    sweep = Sweep(run_extract, folder)
    for operation, how, out in sweep.points():
        faults = Faults(folder, **how, strike="full")
        if operation == "rmdir":  # the shard is there; an empty folder left beside it does no harm
            sweep.extract_struck(faults, out)
        else:
            with pytest.raises(CacheError, match="The disk is full"):
                sweep.extract_struck(faults, out)
        sweep.check_rerun(out)


class Command:
    """``fla extract`` over a corpus that takes it a moment."""

    def __init__(self, manifest: Manifest, encoder: VisualEncoder, folder: Path) -> None:
        samples = [s for s in manifest.samples if s.num_frames > 4]
        copies = [
            replace(samples[n % len(samples)], id=f"dev/{n}", split="dev", text=f"Satz {n}")
            for n in range(NUM_CLIPS)
        ]
        self.folder = folder
        write_manifest(folder / "manifest.jsonl", replace(manifest, samples=tuple(copies)))
        save_encoder(encoder, folder / "stage1" / "encoder")
        assert self("whole")["clips"] == NUM_CLIPS
        self.whole = (folder / "whole" / SHARD).read_bytes()

    def args(self, out: str, *, workers: int = 0) -> list[str]:
        given = ["--manifest", self.folder / "manifest.jsonl", "--ckpt", self.folder / "stage1"]
        given += ["--out", self.folder / out, "--device", "cpu", "--json", "--set", f"workers={workers}"]
        return ["extract", *map(str, given), "--set", "frame_batch=4"]

    def __call__(self, out: str) -> dict[str, Any]:
        """Run it here; return its report."""
        result = CliRunner().invoke(fla, self.args(out), catch_exceptions=False)
        assert result.exit_code == 0
        return json.loads(result.stdout)

    def begin(self, out: str, *, workers: int = 0) -> int:
        """Begin it in a fork, and return the process id."""
        args = self.args(out, workers=workers)
        return begin(lambda: CliRunner().invoke(fla, args, catch_exceptions=False))

    def check_rerun(self, out: str) -> None:
        kept = num_journalled(self.folder / out)
        assert 0 < kept < NUM_CLIPS
        assert not list((self.folder / out).glob("*.h5"))
        assert self(out)["clips"] == NUM_CLIPS - kept
        assert (self.folder / out / SHARD).read_bytes() == self.whole


@pytest.fixture
def fla_extract(manifest: Manifest, encoder: VisualEncoder, folder: Path) -> Command:
    return Command(manifest, encoder, folder)


def test_the_command_killed_from_outside_resumes_to_the_same_bytes(fla_extract: Command) -> None:
    for journalled, workers in ((1, 0), (3, 2), (6, 0), (9, 2), (12, 0)):
        out = str(journalled)
        pid = fla_extract.begin(out, workers=workers)
        wait_until_journalled(fla_extract.folder / out, journalled)
        os.kill(pid, signal.SIGKILL)
        assert end_of(pid) == -signal.SIGKILL
        fla_extract.check_rerun(out)


def test_a_worker_that_dies_ends_the_command_and_a_rerun_finishes(fla_extract: Command) -> None:
    out = fla_extract.folder / "orphan"
    pid = fla_extract.begin("orphan", workers=2)
    wait_until_journalled(out, 1)
    children = [int(child) for child in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]
    assert len(children) == 2
    os.kill(children[0], signal.SIGKILL)
    assert end_of(pid) == 1
    fla_extract.check_rerun("orphan")


def test_a_second_process_is_told_who_writes_the_shard(fla_extract: Command) -> None:
    pid = fla_extract.begin("both")
    wait_until_journalled(fla_extract.folder / "both", 1)
    os.kill(pid, signal.SIGSTOP)
    with pytest.raises(CacheError, match=f"written by process {pid} on {socket.gethostname()}"):
        fla_extract("both")
    os.kill(pid, signal.SIGCONT)
    assert end_of(pid) == 0
    assert (fla_extract.folder / "both" / SHARD).read_bytes() == fla_extract.whole
