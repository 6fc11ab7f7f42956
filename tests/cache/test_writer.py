"""A shard's bytes depend on the work alone: not on time, place, or how often the process was killed."""

import hashlib
import json
import os
import signal
import sys
import threading
import time
from collections.abc import Callable
from dataclasses import asdict, replace
from pathlib import Path
from types import FrameType
from typing import Any

import pytest

from fla_llm.cache.finished import read_finished
from fla_llm.cache.format import partial_folder
from fla_llm.cache.journal import read_header
from fla_llm.cache.reader import FeatureCache
from fla_llm.cache.writer import _digest
from fla_llm.core.errors import CacheError

NUM_ROWS = 6
BAD = "trä/3"


def in_a_process(work: Callable[[], Any]) -> int:
    """Run ``work`` in a fork and return the signal that ended it, or its exit status."""
    pid = os.fork()
    if pid == 0:
        status = 1
        try:
            work()
            status = 0
        finally:
            os._exit(status)
    return os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])


def killed_after(lines: int, work: Callable[[], Any]) -> Callable[[], Any]:
    """Return ``work`` with a SIGKILL after so many executed lines of the cache's own code."""

    def trace(frame: FrameType, event: str, _: Any) -> Any:
        nonlocal lines
        if f"{os.sep}cache{os.sep}" not in frame.f_code.co_filename:
            return None
        lines -= event == "line"
        if lines < 0:
            os.kill(os.getpid(), signal.SIGKILL)
        return trace

    def traced() -> None:
        sys.settrace(trace)
        work()

    return traced


def test_equal_work_gives_equal_bytes(maker: Any, tmp_path: Path) -> None:
    first = maker.write(maker.rows(NUM_ROWS), bad=BAD)
    time.sleep(1.1)  # HDF5 times, if there were any, count seconds
    second = maker.write(maker.rows(NUM_ROWS), bad=BAD, folder=tmp_path / "another")
    assert first.read_bytes() == second.read_bytes()


@pytest.mark.parametrize("lines", [97, 350])
def test_killed_again_and_again_it_still_gives_the_same_bytes(maker: Any, tmp_path: Path, lines: int) -> None:
    """Each run gets a little further than the one before it is killed."""
    rows = maker.rows(NUM_ROWS)
    whole = maker.write(rows, bad=BAD).read_bytes()
    shard = tmp_path / "killed" / "train-0-of-1.h5"
    runs = 0
    while not shard.exists():
        runs += 1
        work = killed_after(lines + 60 * runs, lambda: maker.write(rows, bad=BAD, folder=shard.parent))
        assert in_a_process(work) in (0, -signal.SIGKILL)
    assert runs > 1
    assert shard.read_bytes() == whole


def test_a_resumed_writer_keeps_what_was_appended(maker: Any) -> None:
    rows = maker.rows(3)
    with maker.writer(rows) as writer:
        writer.append(rows[0], maker.features(0))
        writer.append(rows[1], maker.features(1))
        assert writer.steps_written == 3
    with maker.writer(rows) as writer:
        assert writer.pending == (rows[2],)
        assert writer.steps_written == 3


@pytest.mark.parametrize("torn", [b'{"id": "tr\xc3', b'{"id": "x", "view": 0, "start": 9999}\n', b"null\n"])
def test_a_torn_last_line_is_dropped(maker: Any, torn: bytes) -> None:
    rows = maker.rows(3)
    with maker.writer(rows) as writer:
        writer.append(rows[0], maker.features(0))
    journal = partial_folder(maker.folder / "train-0-of-1.h5")
    with (journal / "index.jsonl").open("ab") as file:
        file.write(torn)
    with (journal / "features.bin").open("ab") as file:
        file.write(b"half a video")
    with maker.writer(rows) as writer:
        assert writer.pending == tuple(rows[1:])
    assert (journal / "features.bin").stat().st_size == 2 * maker.width


def test_bytes_that_were_lost_are_made_again(maker: Any) -> None:
    """After a power cut a line may be there and its bytes be zeros."""
    rows = maker.rows(3)
    with maker.writer(rows) as writer:
        for number in range(2):
            writer.append(rows[number], maker.features(number))
    path = partial_folder(maker.folder / "train-0-of-1.h5") / "features.bin"
    path.write_bytes(path.read_bytes()[: 2 * maker.width] + bytes(4 * maker.width))
    with maker.writer(rows) as writer:
        assert writer.pending == tuple(rows[1:])


@pytest.mark.parametrize("changes", [{"encoder_fingerprint": "91bc"}, {"frame_batch": 8}])
def test_a_partial_shard_of_another_make_is_begun_anew(
    maker: Any, changes: dict[str, Any], capsys: pytest.CaptureFixture[str]
) -> None:
    rows = maker.rows(3)
    with maker.writer(rows) as writer:
        writer.append(rows[0], maker.features(0))
    with maker.writer(rows, **changes) as writer:
        assert writer.pending == tuple(rows)
    assert "starts again from the first video" in capsys.readouterr().err


def test_a_partial_shard_of_other_ids_is_begun_anew(maker: Any) -> None:
    with maker.writer(maker.rows(3)) as writer:
        writer.append(maker.row(0), maker.features(0))
    with maker.writer(maker.rows(4)) as writer:
        assert len(writer.pending) == 4


def test_a_second_process_is_refused_by_name(maker: Any) -> None:
    def second() -> None:
        with pytest.raises(CacheError, match=f"being written by process {parent} on "):
            maker.writer(maker.rows(2))

    parent = os.getpid()
    with maker.writer(maker.rows(2)):
        assert in_a_process(second) == 0
    with maker.writer(maker.rows(2)):
        pass


def test_a_worker_that_outlives_the_writer_does_not_hold_the_lock(maker: Any) -> None:
    with maker.writer(maker.rows(2)):
        reader, writer = os.pipe()
        ready, begun = os.pipe()
        worker = os.fork()
        if worker == 0:
            os.close(writer)
            os.write(begun, b"!")
            os.read(reader, 1)
            os._exit(0)
        os.read(ready, 1)
    with maker.writer(maker.rows(2)):
        pass
    for descriptor in (reader, writer, ready, begun):
        os.close(descriptor)
    os.waitpid(worker, 0)


def test_the_lock_outlives_a_fork_that_ends(maker: Any) -> None:
    with maker.writer(maker.rows(2)):
        assert in_a_process(lambda: None) == 0
        with pytest.raises(CacheError, match="is being written by"):
            maker.writer(maker.rows(2))


def test_waiting_writers_take_turns(maker: Any, tmp_path: Path) -> None:
    """Processes that come while the journal's folder is being removed are refused or begin anew."""
    errors: list[str] = []

    def write(round_: int) -> None:
        try:
            maker.write(maker.rows(1), folder=tmp_path / str(round_))
        except CacheError as error:
            errors.append(str(error))

    for round_ in range(20):
        threads = [threading.Thread(target=write, args=(round_,)) for _ in range(3)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert [path.name for path in (tmp_path / str(round_)).iterdir()] == ["train-0-of-1.h5"]
    assert len(errors) == 40


def test_a_finished_shard_is_not_written_again(maker: Any) -> None:
    maker.write(maker.rows(2))
    with pytest.raises(CacheError, match=r"train-0-of-1.h5 is finished, and shards are never changed"):
        maker.writer(maker.rows(2))
    assert [path.name for path in maker.folder.iterdir()] == ["train-0-of-1.h5"]


def test_a_finished_shard_of_the_same_work_is_recognised(maker: Any) -> None:
    rows = maker.rows(5)
    path = maker.folder / "train-0-of-1.h5"
    assert read_finished(path, rows=rows, provenance=maker.made_by()) is None
    maker.write(rows, bad=BAD)
    index = read_finished(path, rows=rows, provenance=maker.made_by())
    assert index is not None
    assert index.rejected == ((BAD, 0),)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"encoder_fingerprint": "91bc"}, "encoder_fingerprint is '3f2a' there and would be '91bc' now"),
        ({"encoder_config": {"backbone": "tiny", "sampling": {"stride": 2}}}, r"sampling.stride is 4 there"),
        ({"step_seconds": None}, "step_seconds is 0.16 there and would be None now"),
    ],
)
def test_a_finished_shard_of_another_make_is_refused(
    maker: Any, changes: dict[str, Any], message: str
) -> None:
    path = maker.write(maker.rows(2))
    with pytest.raises(CacheError, match=message):
        read_finished(path, rows=maker.rows(2), provenance=maker.made_by(**changes))


def test_a_finished_shard_of_other_videos_is_refused(maker: Any) -> None:
    path = maker.write(maker.rows(2))
    with pytest.raises(CacheError, match="it covers 2 videos and would cover 3 now"):
        read_finished(path, rows=maker.rows(3), provenance=maker.made_by())
    with pytest.raises(CacheError, match="id of 'trä/0' is 'trä/0' there, 'trä/5' now"):
        read_finished(path, rows=[maker.row(5), maker.row(1)], provenance=maker.made_by())


def test_an_id_that_comes_twice_is_refused(maker: Any) -> None:
    with pytest.raises(CacheError, match=r"'trä/0' \(view 0\) is there twice"):
        maker.writer([maker.row(0), maker.row(0)])


@pytest.mark.parametrize("text", ["a\0b", "a\ud800"])
def test_text_that_cannot_be_stored_is_refused(maker: Any, text: str) -> None:
    with pytest.raises(CacheError, match="text of 'trä/0' must be UTF-8 text without NUL"):
        maker.writer([replace(maker.row(0), text=text)])
    with pytest.raises(CacheError, match="references of 'trä/0' must be UTF-8 text without NUL"):
        maker.writer([replace(maker.row(0), references=("a", text))])


def test_a_journal_of_rows_without_later_columns_goes_on(maker: Any) -> None:
    """The digest is that of earlier versions, which knew neither tasks nor references."""
    rows, made_by = maker.rows(1), maker.made_by()
    later = {"task", "references"}
    before = [{name: value for name, value in asdict(row).items() if name not in later} for row in rows]
    plan = hashlib.sha256(json.dumps([asdict(made_by), before], sort_keys=True).encode()).hexdigest()
    with maker.writer(rows) as writer:
        assert read_header(writer._journal.folder)["plan"] == plan
    for changed in ({"task": "isolated"}, {"references": ("Regen",)}):
        assert _digest([replace(rows[0], **changed)], made_by) != plan


def test_rows_come_in_order_and_whole(maker: Any) -> None:
    rows = maker.rows(2)
    with maker.writer(rows) as writer:
        with pytest.raises(ValueError, match="the next is 'trä/0', not 'trä/1'"):
            writer.append(rows[1], maker.features(1))
        with pytest.raises(ValueError, match=r"must be \(T >= 1, 8\) float16, but are \(0, 8\)"):
            writer.append(rows[0], maker.features(0)[:0])
        with pytest.raises(ValueError, match="float32"):
            writer.append(rows[0], maker.features(0).astype("float32"))
        with pytest.raises(ValueError, match="2 of 2 rows are still pending"):
            writer.finish()


def test_a_shard_of_bad_videos_alone_is_empty_and_readable(maker: Any) -> None:
    maker.write(maker.rows(4)[3:], bad=BAD)
    assert len(FeatureCache(maker.folder)) == 0
