"""Settings left open are resolved once for a cache: the frame batch by a search, both by what exists."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch

from fla_llm.cache.format import partial_folder
from fla_llm.cache.journal import read_header
from fla_llm.cache.reader import FeatureCache
from fla_llm.cache.writer import ShardWriter
from fla_llm.core.errors import ConfigError
from fla_llm.core.signals import Interrupted
from fla_llm.encoder.model import VisualEncoder
from fla_llm.encoder.store import fingerprint_of
from fla_llm.extract import resolve_settings as settings_module
from fla_llm.extract.batch_size_search import choose_frame_batch, seconds_to_encode
from fla_llm.extract.config import FRAME_BATCH, ExtractConfig
from fla_llm.extract.resolve_settings import resolve_settings
from fla_llm.extract.result import Extracted

Run = Callable[..., Extracted]
OPEN = ExtractConfig(workers=0, precision="fp32")


@pytest.fixture
def resolved(encoder: VisualEncoder, tmp_path: Path) -> Callable[..., ExtractConfig]:
    def resolved(config: ExtractConfig = OPEN, **changes: Any) -> ExtractConfig:
        order: dict[str, Any] = {
            "encoder": encoder, "fingerprint": fingerprint_of(encoder), "out": tmp_path / "cache",
            "device": torch.device("cpu"),
        }  # fmt: skip
        return resolve_settings(config, **order | changes)

    return resolved


def begin(run_extract: Run, monkeypatch: pytest.MonkeyPatch, **changes: Any) -> None:
    """Leave an unfinished shard of two clips."""
    append, rows = ShardWriter.append, []

    def append_and_stop(self: ShardWriter, row: Any, features: Any) -> None:
        append(self, row, features)
        rows.append(row)
        if len(rows) == 2:
            raise Interrupted(15)

    with monkeypatch.context() as patch:
        patch.setattr(ShardWriter, "append", append_and_stop)
        with pytest.raises(SystemExit):
            run_extract(**changes)


def device_with_room_for(frames: int) -> Callable[[int], float]:
    def seconds(frame_batch: int) -> float:
        if frame_batch > frames:
            raise torch.OutOfMemoryError("CUDA out of memory.")
        return 1 / frame_batch

    return seconds


@pytest.mark.parametrize(("room", "chosen"), [(16, 16), (100, 64), (512, 512), (5000, 1024)])
def test_the_largest_batch_that_fits_is_taken_while_it_gains(room: int, chosen: int) -> None:
    assert choose_frame_batch(device_with_room_for(room)) == chosen


def test_a_larger_batch_must_gain_a_twentieth() -> None:
    costs = {16: 1.0, 32: 0.9, 64: 0.86, 128: 0.1}
    tried = []

    def seconds(frame_batch: int) -> float:
        tried.append(frame_batch)
        return costs[frame_batch]

    assert choose_frame_batch(seconds) == 32
    assert tried == [16, 32, 64]


def test_an_encoders_own_word_for_too_little_memory_counts() -> None:
    def seconds(frame_batch: int) -> float:
        if frame_batch > 32:
            raise ConfigError("frame_batch must be smaller.") from torch.OutOfMemoryError()
        return 1 / frame_batch

    assert choose_frame_batch(seconds) == 32


def test_other_faults_are_not_taken_for_too_little_memory() -> None:
    def seconds(frame_batch: int) -> float:
        raise ConfigError("a window must have fewer frames than a batch.")

    with pytest.raises(ConfigError, match="a window must"):
        choose_frame_batch(seconds)


def test_a_device_without_room_for_the_smallest_is_refused() -> None:
    with pytest.raises(ConfigError, match="memory for 16 frames at a time, but has not"):
        choose_frame_batch(device_with_room_for(8))


def test_what_is_timed_is_encoding(encoder: VisualEncoder) -> None:
    seconds = seconds_to_encode(encoder, level="sign", device=torch.device("cpu"), dtype=torch.float32)
    assert 0 < seconds(16) < 1


def test_settings_that_are_given_hold(resolved: Callable[..., ExtractConfig]) -> None:
    assert resolved(replace(OPEN, frame_batch=5, threads=1)) == replace(OPEN, frame_batch=5, threads=1)
    assert resolved().frame_batch == FRAME_BATCH


def test_a_finished_shard_says_the_frame_batch(run_extract: Run, tmp_path: Path) -> None:
    run_extract(config=replace(OPEN, frame_batch=8), splits=["dev"])
    run_extract(config=OPEN, splits=["train"])
    assert FeatureCache(tmp_path / "cache", "train").provenance.frame_batch == 8
    run_extract(config=OPEN, splits=["dev"], fingerprint="91bc", out=tmp_path / "another")
    assert FeatureCache(tmp_path / "another", "dev").provenance.frame_batch == FRAME_BATCH


def test_a_journal_says_frame_batch_and_threads(
    run_extract: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, resolved: Callable[..., ExtractConfig],
    encoder: VisualEncoder,
) -> None:  # fmt: skip
    given = replace(OPEN, frame_batch=8, threads=1)
    begin(run_extract, monkeypatch, config=given)
    monkeypatch.setenv("OMP_NUM_THREADS", "3")
    header = read_header(partial_folder(tmp_path / "cache" / "train-0-of-1.h5"))
    assert header.pop("plan")
    assert header == {"encoder": fingerprint_of(encoder), "frame_batch": 8, "threads": 1}
    assert resolved() == given
    assert resolved(shard=(1, 2)) == replace(OPEN, frame_batch=8, threads=3)  # its threads are its own
    assert resolved(fingerprint="91bc").frame_batch == FRAME_BATCH
    assert run_extract(config=OPEN).clips == 6  # goes on
    assert FeatureCache(tmp_path / "cache", "dev").provenance.frame_batch == 8


def test_of_several_processes_that_try_one_choice_counts(
    resolved: Callable[..., ExtractConfig], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    choices = iter((256, 512))
    monkeypatch.setattr(settings_module, "choose_frame_batch", lambda seconds: next(choices))
    monkeypatch.setattr(torch.cuda, "get_device_name", lambda device: "a fake")
    monkeypatch.setattr(settings_module, "_frame_batches", lambda *args: iter(()))  # both begin at once
    cuda = torch.device("cuda")
    assert resolved(device=cuda).frame_batch == 256
    assert resolved(device=cuda).frame_batch == 256
    monkeypatch.undo()
    assert resolved(device=cuda).frame_batch == 256
    assert len(list((tmp_path / "cache").iterdir())) == 1


def test_a_dry_run_leaves_no_note(
    resolved: Callable[..., ExtractConfig], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr(settings_module, "choose_frame_batch", lambda seconds: 64)
    monkeypatch.setattr(torch.cuda, "get_device_name", lambda device: "a fake")
    assert resolved(device=torch.device("cuda"), leave_note=False).frame_batch == 64
    assert not (tmp_path / "cache").exists()
