"""Shards written by one process, by several, and as Ray tasks are the same to the byte."""

import io
import os
import signal
import socket
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch

from fla_llm.cache.reader import FeatureCache
from fla_llm.cache.writer import ShardWriter
from fla_llm.core.errors import CacheError, ConfigError, DataError, ModelError
from fla_llm.corpora.manifest import Manifest, write_manifest
from fla_llm.encoder.model import VisualEncoder
from fla_llm.encoder.store import save_encoder
from fla_llm.extract import request as request_module
from fla_llm.extract.config import ExtractConfig
from fla_llm.extract.on_devices import extract_on_devices, parse_devices
from fla_llm.extract.on_ray import LOCAL, _collect, _share, extract_on_ray
from fla_llm.extract.prefixed import Prefixed
from fla_llm.extract.request import ExtractionRequest, write_shards
from fla_llm.extract.result import Extracted, Rejected, merged
from fla_llm.extract.workers import choose_workers

TWO = ((0, 2), (1, 2))
CPUS = ["cpu", "cpu"]


def bytes_in(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in sorted(folder.glob("*.h5"))}


@pytest.fixture
def job(tmp_path: Path, manifest: Manifest, encoder: VisualEncoder) -> ExtractionRequest:
    write_manifest(tmp_path / "manifest.jsonl", manifest)
    save_encoder(encoder, tmp_path / "stage1" / "encoder")
    config = ExtractConfig(frame_batch=4, workers=0, precision="fp32", views=1)
    return ExtractionRequest(
        manifest=tmp_path / "manifest.jsonl", ckpt=tmp_path / "stage1", out=tmp_path / "cache", config=config
    )  # fmt: skip


@pytest.fixture
def whole(job: ExtractionRequest, tmp_path: Path) -> dict[str, bytes]:
    """Both shards of both splits, written one after the other in this process."""
    write_shards(replace(job, out=tmp_path / "whole"), TWO, device="cpu")
    return bytes_in(tmp_path / "whole")


def test_shards_are_the_same_in_any_order_and_twice(job: ExtractionRequest, whole: dict[str, bytes]) -> None:
    for shard in ((1, 2), (0, 2), (1, 2)):
        write_shards(job, (shard,), device="cpu", threads=1)
    assert len(whole) == 4
    assert bytes_in(job.out) == whole


def test_another_number_of_shards_gives_equal_features(job: ExtractionRequest, tmp_path: Path) -> None:
    features = []
    for count in (1, 2, 3):
        out = tmp_path / str(count)
        write_shards(replace(job, out=out), tuple((i, count) for i in range(count)), device="cpu")
        cache = FeatureCache(out, "train")
        features.append({(row.id, row.view): cache[i] for i, row in enumerate(cache.rows)})
    for others in features[1:]:
        assert others.keys() == features[0].keys()
        assert all(np.array_equal(others[key], own) for key, own in features[0].items())


def test_a_process_that_starts_afresh_writes_the_same_shards(
    job: ExtractionRequest, whole: dict[str, bytes]
) -> None:
    assert extract_on_devices(job, TWO, devices=["cpu"]).clips == 8
    assert bytes_in(job.out) == whole


def test_processes_write_the_same_shards(
    job: ExtractionRequest, whole: dict[str, bytes], capfd: pytest.CaptureFixture[str]
) -> None:
    result = extract_on_devices(job, TWO, devices=CPUS, method="fork")
    assert bytes_in(job.out) == whole
    assert (result.clips, len(result.shards), result.rejected) == (8, 4, [])
    shown = capfd.readouterr().err
    assert "[0 cpu] extract train-0-of-2" in shown
    assert "[1 cpu] extract dev-1-of-2" in shown


def test_a_failure_is_raised_when_the_others_have_finished(
    job: ExtractionRequest, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    with ShardWriter(job.out, split="train", index=0, count=2, rows=[], provenance=_made_by(job)):
        holder = f"process {os.getpid()} on {socket.gethostname()}"
        with pytest.raises(CacheError, match=f"train-0-of-2.partial is being written by {holder}"):
            extract_on_devices(job, TWO, devices=CPUS, method="fork")
    assert [path.name for path in sorted(job.out.glob("*.h5"))] == ["dev-1-of-2.h5", "train-1-of-2.h5"]


def _made_by(job: ExtractionRequest) -> Any:
    return job.load(((0, 2),), device=torch.device("cpu")).plans[0].provenance


def test_a_killed_process_is_named_and_its_work_kept(
    job: ExtractionRequest, whole: dict[str, bytes], monkeypatch: pytest.MonkeyPatch
) -> None:
    append = ShardWriter.append

    def append_and_die(self: ShardWriter, row: Any, features: Any) -> None:
        append(self, row, features)
        if self.path.name == "train-1-of-2.h5":
            os.kill(os.getpid(), signal.SIGKILL)

    monkeypatch.setattr(ShardWriter, "append", append_and_die)
    with pytest.raises(CacheError, match=r"process on cpu was killed.*\nRun the same command again"):
        extract_on_devices(job, TWO, devices=CPUS, method="fork")
    monkeypatch.undo()
    assert extract_on_devices(job, TWO, devices=CPUS, method="fork").clips < 8
    assert bytes_in(job.out) == whole


def test_a_fault_that_is_not_the_users_is_raised_too(
    job: ExtractionRequest, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    def broken(*_: Any, **__: Any) -> None:
        raise KeyError("lost")

    monkeypatch.setattr(request_module, "extract", broken)
    with pytest.raises(RuntimeError, match=r"process on cpu failed: KeyError\('lost'\)"):
        extract_on_devices(job, TWO[:1], devices=CPUS, method="fork")
    assert "[0 cpu] Traceback" in capfd.readouterr().err


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_ends_all_processes(
    job: ExtractionRequest, whole: dict[str, bytes], number: signal.Signals
) -> None:
    """The parent is a fork of this process; its children are at work when it is told to end."""
    reader, writer = os.pipe()
    pid = os.fork()
    if pid == 0:
        os.close(reader)
        append = ShardWriter.append

        def append_and_wait(self: ShardWriter, row: Any, features: Any) -> None:
            append(self, row, features)
            if self.num_written == 1:
                os.write(writer, b"w")
            time.sleep(1)

        ShardWriter.append = append_and_wait
        signal.signal(signal.SIGINT, signal.default_int_handler)
        try:
            extract_on_devices(job, TWO, devices=CPUS, method="fork")
        finally:
            os._exit(3)
    os.close(writer)
    assert os.read(reader, 1) + os.read(reader, 1) == b"ww"
    os.kill(pid, number)
    assert os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == 3
    assert os.read(reader, 1) == b""  # nobody is left who could write
    os.close(reader)
    write_shards(job, TWO, device="cpu")
    assert bytes_in(job.out) == whole


def test_devices_are_named_or_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    assert parse_devices("cpu, cpu") == ["cpu", "cpu"]
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 2)
    assert parse_devices("all") == ["cuda:0", "cuda:1"]
    with pytest.raises(ConfigError, match="must be of one kind, but are cpu, cuda"):
        parse_devices("cpu,cuda:1")
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 0)
    with pytest.raises(ConfigError, match="--devices all must find a CUDA device, but there is none"):
        parse_devices("all")
    with pytest.raises(ConfigError, match="--device cuda:7 is not on this machine"):
        parse_devices("cuda:7")


def choose(**changes: Any) -> Any:
    given: dict[str, Any] = {
        "shard": None, "num_shards": None, "devices": None, "engine": "local", "device": "cpu",
        "environment": {},
    }  # fmt: skip
    return choose_workers(**given | changes)


def test_who_writes_what(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    assert choose().shards == ((0, 1),)
    assert choose(devices="cpu,cpu").shards == ((0, 2), (1, 2))
    several = choose(devices="cpu,cpu", num_shards=3)
    assert (several.engine, len(several.shards), several.devices) == ("devices", 3, ("cpu", "cpu"))
    ray = choose(engine="ray", num_shards=2, device="cuda")  # which may be on other machines alone
    assert (ray.engine, ray.device.type) == ("ray", "cuda")
    assert capsys.readouterr().err == ""
    environment = {"RANK": "1", "WORLD_SIZE": "4", "LOCAL_RANK": "1"}
    assert choose(environment=environment).shards == ((1, 4),)
    assert capsys.readouterr().err == "shard 1/4, as torchrun, rank 1 of 4\n"
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 2)
    assert choose(environment=environment, device="auto").device == torch.device("cuda", 1)
    assert choose(environment=environment).device == torch.device("cpu")


def test_processes_share_the_cores_that_decode(
    job: ExtractionRequest, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert job.sharing_cores(2).config.workers == 0
    monkeypatch.setattr("fla_llm.extract.config.available_cores", lambda: 8)
    auto = replace(job, config=replace(job.config, workers=None))
    assert [auto.sharing_cores(n).config.workers for n in (2, 16)] == [4, 1]


def test_shards_of_another_set_are_refused(job: ExtractionRequest) -> None:
    write_shards(job, ((0, 2),), device="cpu")
    with pytest.raises(
        CacheError, match=r"holds some of 2 and would get some of 3.\nSay which by --shard i/2"
    ):
        write_shards(job, ((0, 3),), device="cpu")


def test_results_are_put_together() -> None:
    one = Extracted(clips=1, frames=10, spent={"decode": 1.0, "encode": 2.0, "write": 0.0})
    two = Extracted(clips=2, frames=20, spent={"decode": 1.0, "encode": 4.0, "write": 0.0})
    two.rejected.append(Rejected(split="dev", id="a", reason="b"))
    both = merged([one, two])
    assert (both.clips, both.frames, both.seconds, len(both.rejected)) == (3, 30, 8.0, 1)
    assert merged([one, two], seconds=4.0).spent == {"decode": 1.0, "encode": 3.0, "write": 0.0}
    assert merged([], seconds=4.0).seconds == 0


def test_lines_stay_whole_behind_their_prefix() -> None:
    stream = io.StringIO()
    prefixed = Prefixed(stream, prefix="[1] ")
    for text in ("a", "b\nc\n", "d"):
        assert prefixed.write(text) == len(text)
    prefixed.flush()
    assert stream.getvalue() == "[1] ab\n[1] c\n"
    assert not prefixed.isatty()
    assert prefixed.writable()


@pytest.fixture(scope="module")
def ray_of_two() -> Iterator[Any]:
    """A local Ray with two workers."""
    ray = pytest.importorskip("ray", reason="ray is not installed: pip install 'fla-llm[ray]'")
    ray.init(address="local", num_cpus=2, logging_level="ERROR", **LOCAL)
    yield ray
    ray.shutdown()


def test_ray_tasks_write_the_same_shards(
    ray_of_two: Any, job: ExtractionRequest, whole: dict[str, bytes]
) -> None:
    result = extract_on_ray(job, TWO, device="cpu")
    assert bytes_in(job.out) == whole
    assert (result.clips, len(result.shards)) == (8, 4)


def test_a_tasks_error_comes_back_as_itself(ray_of_two: Any, job: ExtractionRequest) -> None:
    with pytest.raises(DataError, match="samples of split test, but has train, dev") as caught:
        extract_on_ray(replace(job, splits=("test",)), TWO, device="cpu")
    assert type(caught.value) is DataError


def test_tasks_share_the_cpus() -> None:
    assert _share({"CPU": 16.0}, tasks=4, on_gpu=False) == (4, 0)
    assert _share({"CPU": 2.0}, tasks=4, on_gpu=False) == (1, 0)
    assert _share({"CPU": 16.0, "GPU": 2.0}, tasks=8, on_gpu=True) == (8, 1)


def test_without_ray_the_remedy_is_named(job: ExtractionRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(__import__("sys").modules, "ray", None)
    with pytest.raises(ModelError, match=r"needs the package ray.*\nRun: pip install 'fla-llm\[ray\]'"):
        extract_on_ray(job, TWO, device="cpu")


@pytest.mark.cuda
def test_every_gpu_writes_what_one_does(job: ExtractionRequest, tmp_path: Path) -> None:
    devices = parse_devices("all") * 2  # also where there is one only
    shards = tuple((index, 4) for index in range(4))
    write_shards(replace(job, out=tmp_path / "whole"), shards, device=devices[0])
    extract_on_devices(job, shards, devices=devices)
    assert bytes_in(job.out) == bytes_in(tmp_path / "whole")


def test_a_lost_ray_task_is_a_sentence_and_the_others_finish(capsys: pytest.CaptureFixture[str]) -> None:
    ray = SimpleNamespace(
        exceptions=SimpleNamespace(RayTaskError=type("RayTaskError", (Exception,), {}), RayError=OSError),
        wait=lambda pending, num_returns: (pending[:num_returns], pending[num_returns:]),
        get=lambda task: Extracted(clips=3) if task == "whole" else lost(),
    )

    def lost() -> Extracted:
        raise OSError("The worker died unexpectedly.")

    with pytest.raises(CacheError, match=r"task of shard 0/2 must live .* was lost: The worker died"):
        _collect(ray, {"gone": (0, 2), "whole": (1, 2)})
    assert "shard 1/2 is done, 0 to go" in capsys.readouterr().err
