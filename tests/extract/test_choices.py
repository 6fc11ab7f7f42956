"""What an extraction may choose besides the encoder's own ways: the clock, damaged videos, compiling."""

from collections.abc import Callable
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import av
import numpy as np
import pytest

from fla_llm.cache import FeatureCache
from fla_llm.core.errors import CacheError, ConfigError
from fla_llm.core.sample import Sample
from fla_llm.corpora.copies import copies_by
from fla_llm.corpora.manifest import Manifest
from fla_llm.extract.config import ExtractConfig
from fla_llm.extract.result import Extracted
from fla_llm.video.copy_settings import CopySettings

Run = Callable[..., Extracted]
CONFIG = ExtractConfig(frame_batch=4, workers=0, precision="fp32")
FRAMES = 12


def features(folder: Path, split: str = "train") -> dict[str, np.ndarray]:
    cache = FeatureCache(folder, split)
    return {row.id: cache[number] for number, row in enumerate(cache.rows)}


def test_the_clock_gives_what_the_stride_gives_where_they_agree(run_extract: Run, tmp_path: Path) -> None:
    run_extract()
    # The encoder looks at every second frame of 25 a second.
    run_extract(out=tmp_path / "clock", config=replace(CONFIG, fps=12.5))
    by_stride, by_clock = features(tmp_path / "cache"), features(tmp_path / "clock")
    for name, expected in by_stride.items():
        np.testing.assert_array_equal(by_clock[name], expected)
    provenance = FeatureCache(tmp_path / "clock", "train").provenance
    assert provenance.preprocessing["sampling"]["fps"] == 12.5
    assert provenance.step_seconds == pytest.approx(0.08)


def test_by_the_clock_corpora_of_different_rates_have_one_step(
    run_extract: Run, manifest: Manifest, tmp_path: Path
) -> None:
    first, *others = manifest.samples
    mixed = replace(manifest, samples=(replace(first, fps=50.0), *others))
    run_extract(manifest=mixed, config=replace(CONFIG, fps=5.0))
    cache = FeatureCache(tmp_path / "cache", "train")
    assert cache.provenance.step_seconds == pytest.approx(0.2)
    # 9 frames at 50 a second last 0.18 s, 4 at 25 last 0.16 s, 14 last 0.56 s
    assert cache.num_steps[:3].tolist() == [1, 1, 3]


def write_damaged(path: Path) -> None:
    """Write a video whose seventh picture cannot be decoded."""
    with av.open(str(path), "w") as container:
        stream = container.add_stream("libx264", rate=25, options={"g": "1"})
        stream.width, stream.height, stream.pix_fmt = 48, 32, "yuv420p"
        for index in range(FRAMES):
            gray = np.full((32, 48, 3), 20 * index, np.uint8)
            container.mux(stream.encode(av.VideoFrame.from_ndarray(gray)))
        container.mux(stream.encode())
    with av.open(str(path)) as container:
        place, size = [(p.pos or 0, p.size) for p in container.demux(video=0) if p.size][6]
    content = bytearray(path.read_bytes())
    content[place + 8 : place + size] = b"\xff" * (size - 8)
    path.write_bytes(content)


def test_a_damaged_video_is_left_out_or_kept_to_its_fault(run_extract: Run, tmp_path: Path) -> None:
    write_damaged(tmp_path / "clip.mp4")
    sample = Sample(
        id="a", split="train", video="clip.mp4", text="Satz", language="de", num_frames=FRAMES, fps=25.0
    )
    manifest = Manifest(corpus="tiny", root=tmp_path, samples=(sample,))
    left_out = run_extract(manifest=manifest)
    assert [video.id for video in left_out.rejected] == ["a"]
    assert "frame 6 cannot be decoded" in left_out.rejected[0].reason
    kept = run_extract(manifest=manifest, out=tmp_path / "kept", config=replace(CONFIG, keep_partial=True))
    assert kept.rejected == []
    assert len(features(tmp_path / "kept")["a"]) == 3  # of its six good frames every second one
    assert FeatureCache(tmp_path / "kept", "train").provenance.preprocessing["keep_partial"] is True


def test_compiling_is_handed_on_and_known_of_the_features(
    run_extract: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    compiled: list[Any] = []
    monkeypatch.setattr("torch.compile", lambda function: compiled.append(function) or function)
    run_extract(config=replace(CONFIG, compile=True))
    assert compiled
    assert FeatureCache(tmp_path / "cache", "train").provenance.preprocessing["compile"] is True


def test_features_of_small_copies_are_not_taken_for_those_of_the_videos(
    run_extract: Run, manifest: Manifest, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    copies = copies_by(CopySettings(size=16))
    run_extract(manifest=replace(manifest, copies=copies), splits=("train",))
    made = FeatureCache(tmp_path / "cache", "train").provenance.preprocessing
    assert made["copies"] == asdict(copies)
    # The encoder looks at 18 pixels.
    assert "pictures are enlarged.\nWrite larger copies: fla shrink --set size=18" in caplog.text
    with pytest.raises(CacheError, match="copies"):
        run_extract(splits=("train",))
    run_extract(splits=("dev",))
    with pytest.raises(CacheError, match="copies"):
        FeatureCache(tmp_path / "cache")


@pytest.mark.parametrize("fps", [0.0, -1.0, float("inf")])
def test_a_rate_that_cannot_be_is_refused(fps: float) -> None:
    with pytest.raises(ConfigError, match=f"fps must be a number above 0, but is {fps}"):
        ExtractConfig(fps=fps)
