"""A tiny corpus of frame folders, and a tiny encoder with random weights."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image

from fla_llm.core.sample import Sample
from fla_llm.corpora.manifest import Manifest
from fla_llm.encoder.config import EncoderConfig
from fla_llm.encoder.model import VisualEncoder
from fla_llm.encoder.store import fingerprint_of
from fla_llm.extract.config import ExtractConfig
from fla_llm.extract.extraction import extract
from fla_llm.extract.plan import Extraction
from fla_llm.extract.result import Extracted
from fla_llm.video.sampling import FrameSampling

NUM_FRAMES = {"train": (9, 4, 14, 1, 7, 12), "dev": (5, 3)}


@pytest.fixture(scope="session")
def videos(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Frame folders ``train0``, ``train1``, ... of random pictures, 18 x 20 pixels."""
    root = tmp_path_factory.mktemp("videos")
    generator = np.random.default_rng(0)
    for split, counts in NUM_FRAMES.items():
        for number, count in enumerate(counts):
            folder = root / f"{split}{number}"
            folder.mkdir()
            for frame in range(count):
                pixels = generator.integers(0, 256, (18, 20, 3), dtype=np.uint8)
                Image.fromarray(pixels).save(folder / f"images{frame:04}.png")
    return root


@pytest.fixture
def manifest(videos: Path) -> Manifest:
    samples = [
        Sample(
            id=f"{split}/{number}", split=split, video=f"{split}{number}", text=f"Satz {number}",
            language="de", num_frames=count, fps=25.0,
        )
        for split, counts in NUM_FRAMES.items()
        for number, count in enumerate(counts)
    ]  # fmt: skip
    return Manifest(corpus="tiny", root=videos, samples=tuple(samples))


@pytest.fixture(scope="session")
def encoder() -> VisualEncoder:
    with torch.random.fork_rng():
        torch.manual_seed(0)
        config = EncoderConfig(
            backbone="test_resnet", image_size=16, resize_size=18, hidden_size=8, kernel_size=3,
            sampling=FrameSampling(stride=2),
        )  # fmt: skip
        return VisualEncoder(config).eval()


@pytest.fixture
def run_extract(manifest: Manifest, encoder: VisualEncoder, tmp_path: Path) -> Callable[..., Extracted]:
    """Extract without worker processes, unless told otherwise; returns the result."""

    def run_extract(**changes: Any) -> Extracted:
        settings: dict[str, Any] = {
            "manifest": manifest,
            "encoder": encoder,
            "fingerprint": fingerprint_of(encoder),
            "out": tmp_path / "cache",
            "config": ExtractConfig(frame_batch=4, workers=0, precision="fp32"),
            "device": torch.device("cpu"),
        }
        settings |= changes
        if "shard" in settings:
            settings["shards"] = (settings.pop("shard"),)
        return extract(Extraction(**settings))

    return run_extract
