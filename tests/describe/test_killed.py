"""Descriptions killed again and again: a rerun goes on at the next batch and ends with the same bytes."""

import faulthandler
import os
import signal
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch

from fla_llm.core.errors import CacheError

Run = Callable[..., Any]
PATIENCE_SECONDS = 60
NUM_KILLS, NUM_FRAMES = 10, 9
FILE, JOURNAL = "train-0-of-1.jsonl", "train-0-of-1.partial"


def begin(work: Callable[[], Any]) -> int:
    """Do ``work`` in a fork of this warm process, and return its process id."""
    pid = os.fork()
    if pid == 0:
        status = 1
        try:
            faulthandler.dump_traceback_later(PATIENCE_SECONDS // 2, exit=True)
            torch.set_num_threads(1)  # a fork has none of the parent's threads
            work()
            status = 0
        finally:
            os._exit(status)
    return pid


def num_described(out: Path) -> int:
    journal = out / JOURNAL / "lines.jsonl"
    return max(0, journal.read_bytes().count(b"\n") - 1) if journal.exists() else 0


def wait_until_described(out: Path, count: int) -> None:
    give_up = time.monotonic() + PATIENCE_SECONDS
    while num_described(out) < count:
        assert time.monotonic() < give_up
        time.sleep(0.0005)


@pytest.fixture
def whole(described: tuple[Path, Any]) -> bytes:
    return (described[0] / FILE).read_bytes()


def test_killed_ten_times_it_ends_with_the_same_bytes(describe: Run, whole: bytes, tmp_path: Path) -> None:
    out = tmp_path / "killed"
    for number in range(NUM_KILLS):
        # Few batches give few places: the same place is struck with more or less of the next batch done.
        at = 2 * (1 + number * 3 // NUM_KILLS)
        pid = begin(lambda: describe("--split", "train", out=out))
        wait_until_described(out, at)
        time.sleep(0.004 * (number % 3))
        os.kill(pid, signal.SIGKILL)
        ended = os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])
        assert ended == -signal.SIGKILL, number
    done = num_described(out) // 2 * 2
    assert describe("--split", "train", out=out).result["frames"] == NUM_FRAMES - done
    assert (out / FILE).read_bytes() == whole
    assert [path.name for path in out.iterdir()] == [FILE]


@pytest.fixture
def torn(describe: Run, tmp_path: Path) -> Path:
    """The journal of a run that was killed after its first batch."""
    out = tmp_path / "torn"
    pid = begin(lambda: describe("--split", "train", out=out))
    wait_until_described(out, 2)
    os.kill(pid, signal.SIGKILL)
    os.waitpid(pid, 0)
    return out / JOURNAL / "lines.jsonl"


@pytest.mark.parametrize("kept", [3, 8])
def test_half_a_batch_is_described_again_with_its_neighbours(
    describe: Run, whole: bytes, torn: Path, kept: int
) -> None:
    rows, first = whole.splitlines(keepends=True)[1:], torn.read_bytes().splitlines(keepends=True)[0]
    torn.write_bytes(first + b"".join(rows[:kept]) + rows[-1][:7])
    out = torn.parents[1]
    assert describe("--split", "train", out=out).result["frames"] == NUM_FRAMES - kept // 2 * 2
    assert (out / FILE).read_bytes() == whole


def test_a_journal_of_other_settings_is_never_emptied(describe: Run, torn: Path) -> None:
    kept = torn.read_bytes()
    with pytest.raises(CacheError, match=r"begun in another way: settings.max_tokens is 3 .* be 7 now"):
        describe("--split", "train", out=torn.parents[1], settings=("max_tokens=7",))
    assert torn.read_bytes() == kept


def test_the_estimate_counts_what_is_left(describe: Run, torn: Path) -> None:
    left = NUM_FRAMES - (torn.read_bytes().count(b"\n") - 1)
    assert left < NUM_FRAMES
    assert describe("--split", "train", "--dry-run", out=torn.parents[1]).result["frames"] == left
