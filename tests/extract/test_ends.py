"""However an extraction ends before its time, it says what is done, leaves no process, and can go on."""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from multiprocessing import active_children
from pathlib import Path
from typing import Any, NoReturn

import numpy as np
import pytest
import torch
from torch.utils.data.dataloader import _MultiProcessingDataLoaderIter

from fla_llm.cache.writer import ShardWriter
from fla_llm.core.device import default_threads, torch_threads
from fla_llm.core.errors import CacheError, DataError
from fla_llm.core.signals import Interrupted
from fla_llm.corpora.manifest import Manifest, write_manifest
from fla_llm.encoder.model import VisualEncoder
from fla_llm.encoder.store import save_encoder
from fla_llm.extract.clips import ClipDataset
from fla_llm.extract.config import ExtractConfig
from fla_llm.extract.result import Extracted

Run = Callable[..., Extracted]
WORKERS = ExtractConfig(frame_batch=4, workers=2, precision="fp32")


def bytes_in(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in sorted(folder.glob("*.h5"))}


pytestmark = pytest.mark.usefixtures("as_in_a_terminal")


@pytest.mark.parametrize(("number", "code"), [(signal.SIGTERM, 143), (signal.SIGINT, 130)])
def test_a_signal_ends_with_how_to_go_on(
    run_extract: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, number: signal.Signals, code: int,
    capsys: pytest.CaptureFixture[str],
) -> None:  # fmt: skip
    frame_features, batches = VisualEncoder.frame_features, []

    def signalled(self: VisualEncoder, frames: torch.Tensor) -> torch.Tensor:
        batches.append(frames)
        if len(batches) == 3:  # 5 + 2 + 7 steps in batches of 4: the second clip is done
            os.kill(os.getpid(), number)
        return frame_features(self, frames)

    before = signal.getsignal(number)
    with monkeypatch.context() as patch:
        patch.setattr(VisualEncoder, "frame_features", signalled)
        with pytest.raises(Interrupted) as stopped:
            run_extract(config=WORKERS)
    assert stopped.value.code == code
    assert signal.getsignal(number) == before
    assert not active_children()
    said = capsys.readouterr().err
    assert f"Ended by {number.name}: 2 of 6 clips of" in said
    assert "Run the same command again" in said
    assert run_extract().clips == 6
    run_extract(out=tmp_path / "whole")
    assert bytes_in(tmp_path / "cache") == bytes_in(tmp_path / "whole")


def test_a_job_that_is_cancelled_ends_with_code_143(
    manifest: Manifest, encoder: VisualEncoder, tmp_path: Path, videos: Path
) -> None:
    """The real command; as under a scheduler, the signal goes to all of its processes."""
    root = tmp_path / "videos"
    root.mkdir()
    for folder in videos.iterdir():
        (root / folder.name).mkdir()
        for picture in folder.iterdir():
            (root / folder.name / picture.name).symlink_to(picture)
    blocked = root / "train3" / "images0000.png"
    blocked.unlink()
    os.mkfifo(blocked)  # reading it never ends
    write_manifest(tmp_path / "manifest.jsonl", manifest)
    save_encoder(encoder, tmp_path / "encoder")
    options = ["--ckpt", "encoder", "--manifest", "manifest.jsonl", "--out", "cache", "--root", str(root)]
    settings = ["workers=2", "frame_batch=4", "precision=fp32"]
    command = [sys.executable, "-c", "from fla_llm.cli import main; main()", "extract", *options]
    command += [word for setting in settings for word in ("--set", setting)]
    index = tmp_path / "cache" / "train-0-of-1.partial" / "index.jsonl"
    job = subprocess.Popen(command, cwd=tmp_path, stderr=subprocess.PIPE, text=True, start_new_session=True)
    try:
        while job.poll() is None and not (index.exists() and index.read_bytes().count(b"\n") == 3):
            time.sleep(0.05)
        os.killpg(job.pid, signal.SIGTERM)
        said = job.communicate(timeout=30)[1]
    finally:
        if job.poll() is None:
            os.killpg(job.pid, signal.SIGKILL)
    assert job.returncode == 143
    assert "Ended by SIGTERM: 2 of 6 clips of cache/train-0-of-1.h5 are done and kept." in said
    assert "Traceback" not in said
    with pytest.raises(ProcessLookupError):
        os.killpg(job.pid, 0)


@pytest.mark.parametrize(("end", "how"), [
    (lambda: os._exit(3), "exit code 3"),
    (lambda: os.kill(os.getpid(), signal.SIGKILL), "SIGKILL"),
])  # fmt: skip
def test_a_worker_that_dies_is_named_with_its_clip(
    run_extract: Run, monkeypatch: pytest.MonkeyPatch, end: Callable[[], None], how: str
) -> None:
    read = ClipDataset.__getitem__

    def crash(self: ClipDataset, index: int) -> Any:
        if index == 3:
            end()
        return read(self, index)

    with monkeypatch.context() as patch:
        patch.setattr(ClipDataset, "__getitem__", crash)
        with pytest.raises(DataError, match=rf"one ended by {how} while it read 'train/3'"):
            run_extract(config=WORKERS, splits=["train"])
    assert not active_children()
    assert 0 < run_extract(splits=["train"]).clips <= 6


@pytest.mark.parametrize("shard", [(0, 1), (1, 2), (2, 3)])
def test_a_shard_of_fewer_clips_than_processes_is_written(
    run_extract: Run, tmp_path: Path, shard: tuple[int, int]
) -> None:
    """The split dev has two clips: these shards have two, one and none."""
    run_extract(config=WORKERS, splits=["dev"], shard=shard)
    run_extract(out=tmp_path / "here", splits=["dev"], shard=shard)
    assert bytes_in(tmp_path / "cache") == bytes_in(tmp_path / "here")


@pytest.mark.parametrize("seconds", [0.0, 5.0], ids=["at any time", "while the loader starts"])
def test_a_worker_that_dies_before_its_first_clip_is_named_without_one(
    seconds: float, run_extract: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    loader_starts = _MultiProcessingDataLoaderIter._reset

    def start_slowly(*args: Any, **kwargs: Any) -> None:
        loader_starts(*args, **kwargs)
        time.sleep(seconds)  # torch's handler of SIGCHLD raises here

    with monkeypatch.context() as patch:
        patch.setattr(_MultiProcessingDataLoaderIter, "_reset", start_slowly)
        patch.setattr("fla_llm.extract.decode_ahead.prepare_worker", lambda: os._exit(5))
        with pytest.raises(DataError, match=r"one ended by exit code 5 before it read a clip\."):
            run_extract(config=WORKERS, splits=["dev"])
    assert not active_children()
    assert run_extract(splits=["dev"]).clips == 2


def _give_up(*_: object) -> NoReturn:
    raise TimeoutError("the extraction still waits for a clip")


def test_a_temporary_folder_too_deep_for_a_socket_changes_nothing(
    run_extract: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    run_extract(out=tmp_path / "here", splits=["dev"])
    deep = tmp_path / ("deep" * 28)
    deep.mkdir()
    monkeypatch.setattr("tempfile.tempdir", str(deep))
    monkeypatch.setattr("fla_llm.extract.decode_ahead._fits_shared_memory", lambda clips, workers: True)
    before = signal.signal(signal.SIGALRM, _give_up)
    signal.alarm(60)  # a lost clip would be waited for
    run_extract(config=WORKERS, splits=["dev"])
    signal.alarm(0)
    signal.signal(signal.SIGALRM, before)
    assert bytes_in(tmp_path / "cache") == bytes_in(tmp_path / "here")


@pytest.mark.parametrize("shared", [True, False])
def test_clips_travel_unchanged(
    run_extract: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, shared: bool
) -> None:
    run_extract(out=tmp_path / "here", splits=["train"])
    monkeypatch.setattr("fla_llm.extract.decode_ahead._fits_shared_memory", lambda clips, workers: shared)
    run_extract(config=WORKERS, splits=["train"])
    assert bytes_in(tmp_path / "cache") == bytes_in(tmp_path / "here")


def test_a_fault_of_the_writing_thread_is_raised_as_it_is(
    run_extract: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    append, rows = ShardWriter.append, []

    def fail_on_the_third(self: ShardWriter, row: Any, features: np.ndarray) -> None:
        rows.append(row)
        if len(rows) >= 3:
            raise CacheError("The disk is full.")
        append(self, row, features)

    with monkeypatch.context() as patch:
        patch.setattr(ShardWriter, "append", fail_on_the_third)
        with pytest.raises(CacheError, match=r"^The disk is full\.$"):
            run_extract()
    assert [row.id for row in rows] == ["train/0", "train/1", "train/2"]
    assert run_extract().clips == 6


def test_threads_are_set_and_put_back(run_extract: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    frame_features, seen = VisualEncoder.frame_features, set()

    def counted(self: VisualEncoder, frames: torch.Tensor) -> torch.Tensor:
        seen.add(torch.get_num_threads())
        return frame_features(self, frames)

    monkeypatch.setattr(VisualEncoder, "frame_features", counted)
    with torch_threads(2):
        run_extract()
        assert torch.get_num_threads() == 2
    assert seen == {default_threads()} == {1}


def test_threads_are_those_the_environment_names(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OMP_NUM_THREADS", "3")
    assert default_threads() == 3
    monkeypatch.setenv("OMP_NUM_THREADS", "")
    assert default_threads() == len(os.sched_getaffinity(0))


def test_the_summary_says_what_would_help(run_extract: Run) -> None:
    result = run_extract()
    result.spent.update(decode=3.0, encode=1.0, write=0.5)
    assert "waiting for decoded clips: more cores would help" in result.describe()
    result.spent.update(encode=4.0)
    assert result.to_dict()["advice"].startswith("Most of the time went into the encoder")
    assert run_extract().advice == ""
