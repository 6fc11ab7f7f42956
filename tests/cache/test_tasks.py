"""Tasks of clips in a cache. A cache of translations is the same as before there were tasks."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import h5py
import pytest

from fla_llm.cache.checksum_header import write_checksum_header
from fla_llm.cache.reader import FeatureCache
from fla_llm.cache.shard import read_index, write_shard
from fla_llm.cache.summary import describe, summarise
from fla_llm.core.errors import CacheError
from fla_llm.core.sample import TASKS


def test_tasks_come_back_and_translations_leave_no_trace(maker: Any, tmp_path: Path) -> None:
    rows = maker.rows(3)
    mixed = [replace(row, task=task) for row, task in zip(rows, TASKS, strict=True)]
    for folder, own in ((tmp_path / "plain", rows), (tmp_path / "mixed", mixed)):
        with maker.writer(own, folder=folder) as writer:
            for number, row in enumerate(own):
                writer.append(row, maker.features(number))
            writer.finish()
        assert FeatureCache(folder, "train").rows == own
    with h5py.File(tmp_path / "plain/train-0-of-1.h5") as file:
        assert "task" not in file["index"]
    summary = summarise(tmp_path / "mixed")
    assert summary["splits"]["train"]["tasks"] == {"isolated": 1, "recognise": 1, "translate": 1}
    assert "1 isolated, 1 recognise, 1 translate" in describe(summary)
    with pytest.raises(CacheError, match="task of 'trä/0' must be one of translate, .* but is 'sing'"):
        maker.writer([replace(rows[0], task="sing")], folder=tmp_path / "other")


def test_an_unknown_task_in_a_shard_is_damage(maker: Any, tmp_path: Path) -> None:
    path = tmp_path / "train-0-of-1.h5"
    row = replace(maker.row(0), task="sing")
    write_shard(
        path, rows=[row], features=[maker.features(0)], crc32=[0], rejected=[], provenance=maker.made_by()
    )
    write_checksum_header(path)
    with pytest.raises(CacheError, match="/index/task holds 'sing', which is none of translate"):
        read_index(path)
