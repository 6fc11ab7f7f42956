"""Copies of the cache and of the run that tests change."""

import shutil
from collections.abc import Callable
from pathlib import Path

import pytest


@pytest.fixture
def reject(house: Path, tmp_path: Path) -> Callable[..., Path]:
    """Return a function that copies the cache and rejects clips of a split in the copy."""
    from fla_llm.cache.reader import FeatureCache
    from fla_llm.cache.writer import ShardWriter

    def rejecting(*ids: str, split: str = "test") -> Path:
        folder = tmp_path / f"cache-{len(list(tmp_path.iterdir()))}"
        cache = FeatureCache(house / "cache", split)
        writer = ShardWriter(
            folder, split=split, index=0, count=1, rows=cache.rows, provenance=cache.provenance
        )
        with writer:
            for number, row in enumerate(cache.rows):
                if row.id in ids:
                    writer.reject(row, "it is damaged")
                else:
                    writer.append(row, cache[number])
            writer.finish()
        return folder

    return rejecting


@pytest.fixture
def run(house: Path, tmp_path: Path) -> Path:
    """A copy of the stage-two run, without any result."""
    copy = shutil.copytree(house / "stage2", tmp_path / "run")
    for file in (copy / "scores.json", *copy.glob("predictions-test*")):
        file.unlink(missing_ok=True)
    return copy
