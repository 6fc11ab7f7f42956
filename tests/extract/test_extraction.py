"""Cached features are live features; a killed and resumed extraction leaves the same bytes."""

import os
import signal
from collections.abc import Callable
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import av
import numpy as np
import pytest
import torch

from fla_llm.cache.reader import FeatureCache
from fla_llm.cache.writer import ShardWriter
from fla_llm.core.errors import CacheError, ConfigError, DataError, ModelError
from fla_llm.corpora.manifest import Manifest
from fla_llm.encoder.encode import encode
from fla_llm.encoder.model import VisualEncoder
from fla_llm.extract import checks, provenance
from fla_llm.extract.config import ExtractConfig
from fla_llm.extract.result import Extracted
from fla_llm.video.frames import read_frames

Run = Callable[..., Extracted]
CONFIG = ExtractConfig(frame_batch=4, workers=0, precision="fp32")


def live(
    manifest: Manifest, encoder: VisualEncoder, split: str, level: Any, *, phase: int = 0
) -> list[np.ndarray]:
    config = encoder.config
    read = partial(read_frames, sampling=config.sampling, phase=phase, size=config.resize_size)
    clips = ((sample.id, read(manifest.clip(sample))) for sample in manifest.split(split))
    device = torch.device("cpu")
    encoded = encode(encoder, clips, frame_batch=4, level=level, device=device, dtype=torch.float32)
    return [features for _, features in encoded]


def bytes_in(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in sorted(folder.glob("*.h5"))}


def with_bad_video(manifest: Manifest, *ids: str) -> Manifest:
    samples = [replace(s, video="nowhere") if s.id in ids else s for s in manifest.samples]
    return replace(manifest, samples=tuple(samples))


def test_another_phase_is_another_cache(
    run_extract: Run, manifest: Manifest, encoder: VisualEncoder, tmp_path: Path
) -> None:
    run_extract(config=replace(CONFIG, phase=1), splits=["train"])
    cache = FeatureCache(tmp_path / "cache", "train")
    for index, features in enumerate(live(manifest, encoder, "train", "sign", phase=1)):
        assert np.array_equal(cache[index], features)
    assert {row.frame_offset for row in cache.rows} == {1}
    with pytest.raises(CacheError, match="phase"):
        run_extract(config=CONFIG, splits=["train"])


def test_a_phase_beyond_the_stride_is_refused(run_extract: Run) -> None:
    with pytest.raises(ConfigError, match=r"below the encoder's stride \(2\), but is 2"):
        run_extract(config=replace(CONFIG, phase=2))


@pytest.mark.parametrize("level", ["sign", "frame"])
@pytest.mark.parametrize("workers", [0, 2])
def test_cached_features_are_live_features(
    run_extract: Run, manifest: Manifest, encoder: VisualEncoder, tmp_path: Path, level: Any, workers: int
) -> None:
    run_extract(config=replace(CONFIG, level=level, workers=workers))
    for split in ("train", "dev"):
        cache = FeatureCache(tmp_path / "cache", split)
        expected = live(manifest, encoder, split, level)
        assert len(cache) == len(expected)
        for index, features in enumerate(expected):
            np.testing.assert_array_equal(cache[index], features)


def test_what_is_known_of_a_video_comes_along(run_extract: Run, manifest: Manifest, tmp_path: Path) -> None:
    result = run_extract()
    cache = FeatureCache(tmp_path / "cache", "train")
    assert [row.id for row in cache.rows] == [sample.id for sample in manifest.split("train")]
    assert [row.num_frames for row in cache.rows] == [9, 4, 14, 1, 7, 12]
    assert cache.num_steps.tolist() == [5, 2, 7, 1, 4, 6]
    assert cache.provenance.step_seconds == 2 / 25
    assert cache.provenance.level == "sign"
    assert cache.provenance.feature_size == 8
    assert (result.clips, result.frames) == (8, 30)
    assert sum(result.shares.values()) == pytest.approx(1)
    assert result.seconds > 0


def test_clips_of_different_rates_have_no_common_step(
    run_extract: Run, manifest: Manifest, tmp_path: Path
) -> None:
    samples = (replace(manifest.samples[0], fps=30.0), *manifest.samples[1:])
    run_extract(manifest=replace(manifest, samples=samples))
    assert FeatureCache(tmp_path / "cache", "train").provenance.step_seconds is None


@pytest.mark.parametrize("bad", [(), ("train/1", "train/5")])
def test_killed_after_any_video_and_resumed_gives_the_same_bytes(
    run_extract: Run, manifest: Manifest, tmp_path: Path, bad: tuple[str, ...]
) -> None:
    manifest = with_bad_video(manifest, *bad)
    run_extract(manifest=manifest, out=tmp_path / "whole")
    for kept in range(1, 6):
        folder = tmp_path / str(kept)
        work = partial(run_extract, manifest=manifest, out=folder)
        assert _run_killed_after(kept, work) == -signal.SIGKILL
        resumed = run_extract(manifest=manifest, out=folder)
        assert resumed.clips < 8 - len(bad)
        assert len(resumed.rejected) == len(bad)
        assert bytes_in(folder) == bytes_in(tmp_path / "whole")


def _run_killed_after(videos: int, work: Callable[[], object]) -> int:
    """Run ``work`` in a fork that is killed after so many appended videos; return how it ended."""
    pid = os.fork()
    if pid == 0:
        append, count = ShardWriter.append, 0

        def append_and_die(*args: Any) -> None:
            nonlocal count
            append(*args)
            count += 1
            if count == videos:
                os.kill(os.getpid(), signal.SIGKILL)

        ShardWriter.append = append_and_die
        torch.set_num_threads(1)  # a fork has none of the parent's threads
        try:
            work()
        finally:
            os._exit(1)
    return os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])


def test_a_resumed_run_puts_frames_where_they_were(
    run_extract: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, encoder: VisualEncoder
) -> None:
    """Even with a backbone whose results depend on a frame's place in the batch, nothing changes."""
    frame_features = VisualEncoder.frame_features

    def placed(self: VisualEncoder, frames: torch.Tensor) -> torch.Tensor:
        return frame_features(self, frames) + torch.arange(len(frames))[:, None]

    monkeypatch.setattr(VisualEncoder, "frame_features", placed)
    run_extract(out=tmp_path / "whole")
    for kept in (1, 2, 3):
        folder = tmp_path / str(kept)
        _run_killed_after(kept, partial(run_extract, out=folder))
        run_extract(out=folder)
        assert bytes_in(folder) == bytes_in(tmp_path / "whole")


def test_bad_videos_are_listed_and_the_others_done(
    run_extract: Run, manifest: Manifest, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    result = run_extract(manifest=with_bad_video(manifest, "train/0", "train/5"))
    assert [(video.split, video.id) for video in result.rejected] == [
        ("train", "train/0"),
        ("train", "train/5"),
    ]
    assert all("nowhere" in video.reason for video in result.rejected)
    assert "train/0: " in capsys.readouterr().err
    cache = FeatureCache(tmp_path / "cache", "train")
    assert [row.id for row in cache.rows] == ["train/1", "train/2", "train/3", "train/4"]
    assert len(FeatureCache(tmp_path / "cache", "dev")) == 2
    assert b"nowhere" not in bytes_in(tmp_path / "cache")["train-0-of-1.h5"]
    again = run_extract(manifest=with_bad_video(manifest, "train/0", "train/5"))
    assert [video.id for video in again.rejected] == ["train/0", "train/5"]
    assert again.clips == 0


def test_a_video_with_more_pictures_than_packets_is_left_out_by_name(
    run_extract: Run, manifest: Manifest, tmp_path: Path
) -> None:
    """Else its features would not be those of the frames that were counted and selected."""
    path = two_pictures_in_one_packet(tmp_path / "joined.ivf")
    samples = [replace(manifest.samples[0], video="joined.ivf", num_frames=5), *manifest.split("dev")]
    for sample in manifest.split("dev"):
        (tmp_path / sample.video).symlink_to(manifest.root / sample.video)
    joined = replace(manifest, root=tmp_path, samples=tuple(samples))
    result = run_extract(manifest=joined)
    assert [(video.id, video.reason) for video in result.rejected] == [
        (
            "train/0",
            f"{path} must give 5 frames, as many as it has packets, but gives 6.\n"
            "Write it anew, for instance: ffmpeg -i old.mp4 -c:v libx264 new.mp4",
        )
    ]
    assert len(FeatureCache(tmp_path / "cache", "dev")) == 2
    kept = run_extract(manifest=joined, out=tmp_path / "kept", config=replace(CONFIG, keep_partial=True))
    assert not kept.rejected
    assert FeatureCache(tmp_path / "kept", "train").num_steps.tolist() == [3]  # of 6 frames, at stride 2


def two_pictures_in_one_packet(path: Path) -> Path:
    """Write five packets of VP9; the last is a superframe of two shown pictures."""
    with av.open(str(path), "w") as container:
        stream = container.add_stream("libvpx-vp9", rate=10, options={"lag-in-frames": "0"})
        stream.width, stream.height, stream.pix_fmt = 48, 32, "yuv420p"
        grays = (np.full((32, 48, 3), 20 + 20 * number, np.uint8) for number in range(6))
        packets = [packet for gray in grays for packet in stream.encode(av.VideoFrame.from_ndarray(gray))]
        packets += stream.encode()
        *before, first, second = packets
        mark = bytes([0b11011001])  # of a superframe's index: four bytes a size, two frames
        sizes = b"".join(packet.size.to_bytes(4, "little") for packet in (first, second))
        joined = av.Packet(bytes(first) + bytes(second) + mark + sizes + mark)
        joined.pts, joined.dts, joined.time_base = first.pts, first.dts, first.time_base
        joined.stream = stream
        container.mux([*before, joined])
    return path


def test_finished_shards_are_skipped(run_extract: Run, tmp_path: Path) -> None:
    run_extract(splits=("dev",))
    before = (tmp_path / "cache" / "dev-0-of-1.h5").stat()
    result = run_extract()
    assert [path.name for path in result.shards] == ["train-0-of-1.h5", "dev-0-of-1.h5"]
    assert [path.name for path in result.skipped] == ["dev-0-of-1.h5"]
    assert (tmp_path / "cache" / "dev-0-of-1.h5").stat().st_mtime_ns == before.st_mtime_ns


def test_finished_shards_of_another_make_are_refused(run_extract: Run) -> None:
    run_extract(splits=("dev",))
    with pytest.raises(CacheError, match="frame_batch is 4 there and would be 8 now"):
        run_extract(config=replace(CONFIG, frame_batch=8))
    with pytest.raises(CacheError, match="encoder_fingerprint is"):
        run_extract(fingerprint="91bc")


def test_shards_of_other_frames_are_not_continued(
    run_extract: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A release that makes other frames of the same clips adds none to an older cache, but reads it."""
    monkeypatch.setattr(provenance, "FRAME_VERSION", 1)
    run_extract()
    monkeypatch.undo()
    with pytest.raises(CacheError, match="preprocessing.frame_version is 1 there and would be 2 now"):
        run_extract()
    assert len(FeatureCache(tmp_path / "cache", "train")) > 0


def test_shards_together_hold_what_one_holds(run_extract: Run, manifest: Manifest, tmp_path: Path) -> None:
    for index in range(3):
        run_extract(shard=(index, 3), splits=("train",))
    cache = FeatureCache(tmp_path / "cache", "train")
    ids = [sample.id for sample in manifest.split("train")]
    assert [row.id for row in cache.rows] == ids[::3] + ids[1::3] + ids[2::3]


def test_more_shards_than_videos_leave_empty_ones(run_extract: Run, tmp_path: Path) -> None:
    for index in range(3):
        run_extract(shard=(index, 3), splits=("dev",))
    assert len(FeatureCache(tmp_path / "cache", "dev")) == 2


def test_other_files_in_the_folder_are_left_alone(run_extract: Run, tmp_path: Path) -> None:
    folder = tmp_path / "cache"
    folder.mkdir()
    (folder / "__init__.py").write_text("'a room of the checkout'")
    (folder / "poses.h5").write_bytes(b"another kind")
    run_extract()
    assert (folder / "__init__.py").read_text() == "'a room of the checkout'"
    assert (folder / "poses.h5").read_bytes() == b"another kind"


def test_a_disk_that_is_too_small_is_refused_before_the_start(
    run_extract: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(checks, "disk_free", lambda folder: 10_000)
    with pytest.raises(CacheError, match=r"cache needs about 0.00 GB, but its disk has 0.00 GB free"):
        run_extract()
    assert not (tmp_path / "cache").exists()


@pytest.mark.parametrize(
    ("name", "why"),
    [("taken", "taken is a file"), ("taken/in", "taken is a file"), ("x" * 300, "one: File name too long")],
)
def test_an_out_that_cannot_be_a_folder_is_refused(
    run_extract: Run, tmp_path: Path, name: str, why: str
) -> None:
    (tmp_path / "taken").write_text("a file")
    with pytest.raises(CacheError, match=f"--out must name a folder, but .*{why}"):
        run_extract(out=tmp_path / name)
    assert [path.name for path in tmp_path.iterdir()] == ["taken"]


def test_a_corpus_that_lies_elsewhere_is_refused(
    run_extract: Run, manifest: Manifest, tmp_path: Path
) -> None:
    with pytest.raises(DataError, match=r"train must be where the manifest says, but none is: .*train0"):
        run_extract(manifest=replace(manifest, root=tmp_path))
    with pytest.raises(DataError, match=r"must lie in .*elsewhere, but that is no folder"):
        run_extract(manifest=replace(manifest, root=tmp_path / "elsewhere"))
    assert not (tmp_path / "cache").exists()


def test_a_split_without_samples_is_refused(run_extract: Run) -> None:
    with pytest.raises(DataError, match="samples of split test, but has train, dev"):
        run_extract(splits=("test",))


def test_a_level_the_encoder_lacks_is_refused(
    run_extract: Run, encoder: VisualEncoder, tmp_path: Path
) -> None:
    plain = VisualEncoder(replace(encoder.config, temporal=False)).eval()
    with pytest.raises(ModelError, match="level must be frame, but is sign"):
        run_extract(encoder=plain, config=replace(CONFIG, level="sign"))
    run_extract(encoder=plain)
    assert FeatureCache(tmp_path / "cache", "dev").provenance.level == "frame"


def test_features_that_are_not_finite_end_the_run_by_name(run_extract: Run, encoder: VisualEncoder) -> None:
    broken = VisualEncoder(encoder.config).eval()
    with torch.no_grad():
        broken.backbone.net.conv1[0].weight.fill_(float("nan"))
    with pytest.raises(DataError, match="largest is nan"):
        run_extract(encoder=broken)


@pytest.mark.parametrize("shard", [(3, 3), (-1, 2)])
def test_a_shard_that_cannot_be_is_refused(run_extract: Run, shard: tuple[int, int]) -> None:
    with pytest.raises(ValueError, match="0 <= i < n"):
        run_extract(shard=shard)
