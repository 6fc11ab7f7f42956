"""Small caches, made by the writer itself."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from fla_llm.cache.format import CacheRow, Provenance
from fla_llm.cache.writer import ShardWriter


class Maker:
    """Makes rows, features and shards by number: the same number, the same video."""

    width = 8

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def made_by(self, **changes: Any) -> Provenance:
        values: dict[str, Any] = {
            "encoder_fingerprint": "3f2a",
            "encoder_config": {"backbone": "tiny", "sampling": {"stride": 4}},
            "level": "sign",
            "preprocessing": {"image_size": 16},
            "frame_batch": 4,
            "compute_dtype": "float32",
            "device_kind": "cpu",
            "corpus": "demo",
            "split": "train",
            "feature_size": self.width,
            "step_seconds": 0.16,
            "versions": {"torch": "2"},
        }
        return Provenance(**values | changes)

    def row(self, number: int) -> CacheRow:
        text = f"Satz {number}:\u2028übrig"
        return CacheRow(id=f"trä/{number}", text=text, language="de", signer="", num_frames=4 * number + 1)

    def rows(self, count: int) -> list[CacheRow]:
        return [self.row(number) for number in range(count)]

    def features(self, number: int) -> np.ndarray:
        generator = np.random.default_rng(number)
        return generator.normal(size=(1 + number % 4, self.width)).astype(np.float16)

    def writer(
        self,
        rows: list[CacheRow],
        *,
        folder: Path | None = None,
        index: int = 0,
        count: int = 1,
        **changes: Any,
    ) -> ShardWriter:
        made_by = self.made_by(**changes)
        return ShardWriter(
            folder or self.folder,
            split=made_by.split,
            index=index,
            count=count,
            rows=rows,
            provenance=made_by,
        )

    def write(self, rows: list[CacheRow], *, bad: str | None = None, **place: Any) -> Path:
        """Write a shard; the video whose id is ``bad`` cannot be read."""
        with self.writer(rows, **place) as writer:
            for row in writer.pending:
                if row.id == bad:
                    writer.reject(row, "no frames")
                else:
                    writer.append(row, self.features(int(row.id.split("/")[1])))
            return writer.finish()


@pytest.fixture
def maker(tmp_path: Path) -> Maker:
    return Maker(tmp_path / "cache")
