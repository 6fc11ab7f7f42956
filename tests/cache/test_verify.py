"""Damage is found without parsing it, and traced to the video when asked."""

import importlib
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest

from fla_llm.cache.seal import write_seal
from fla_llm.cache.verify import verify
from fla_llm.core.errors import CacheError


def flip(path: Path, *, at: int, bit: int = 0) -> None:
    data = bytearray(path.read_bytes())
    data[at] ^= 1 << bit
    path.write_bytes(data)


def place_of(path: Path, dataset: str) -> int:
    with h5py.File(path) as file:
        return file[dataset].id.get_offset()


def test_a_sound_cache_has_no_faults(maker: Any) -> None:
    maker.write(maker.rows(3))
    assert verify(maker.folder) == []
    assert verify(maker.folder, deep=True) == []


def test_a_flipped_bit_is_found_and_its_video_named(maker: Any) -> None:
    path = maker.write(maker.rows(4))
    flip(path, at=place_of(path, "features/2") + 5)
    (fault,) = verify(maker.folder)
    assert (fault.shard, fault.video) == ("train-0-of-1.h5", None)
    assert "SHA-256" in fault.reason
    assert [fault.video for fault in verify(maker.folder, deep=True)] == [None, "trä/2"]
    assert "CRC-32" in verify(maker.folder, deep=True)[1].reason


def test_any_flipped_bit_is_found(maker: Any) -> None:
    path = maker.write(maker.rows(2))
    whole = path.read_bytes()
    for at in range(0, len(whole), 1997):
        flip(path, at=at)
        assert verify(maker.folder) or 60 < at < 512  # behind the digest, the user block is empty
        path.write_bytes(whole)


@pytest.mark.parametrize("dataset", ["index/num_steps", "index/crc32", "index/view"])
def test_a_damaged_index_is_found_deep_down(maker: Any, dataset: str) -> None:
    path = maker.write(maker.rows(2))
    flip(path, at=place_of(path, dataset) + 8)
    assert len(verify(maker.folder, deep=True)) >= (1 if dataset == "index/view" else 2)


def test_nan_is_found_even_where_the_checksums_hold(maker: Any) -> None:
    rows = maker.rows(2)
    with maker.writer(rows) as writer:
        writer.append(rows[0], maker.features(0))
        writer.append(rows[1], np.full((2, maker.width), np.nan, np.float16))
        writer.finish()
    assert verify(maker.folder) == []
    (fault,) = verify(maker.folder, deep=True)
    assert (fault.video, fault.reason) == ("trä/1", "Its features hold NaN or infinity.")


def test_a_changed_shape_is_found_behind_a_renewed_seal(maker: Any) -> None:
    path = maker.write(maker.rows(3))
    with h5py.File(path, "r+") as file:
        del file["features/1"]
        file["features/1"] = np.zeros((9, maker.width), np.float16)
    write_seal(path)
    (fault,) = verify(maker.folder, deep=True)
    assert fault.video == "trä/1"
    assert "(2, 8) float16 by the index, but is (9, 8) float16" in fault.reason


def test_a_parser_that_does_not_come_back_is_stopped(maker: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    path = maker.write(maker.rows(2))
    module = importlib.import_module("fla_llm.cache.verify")  # the room hands on the function by that name
    monkeypatch.setattr(module, "_BASE_SECONDS", 0.01)
    (fault,) = verify(maker.folder, deep=True)
    assert fault.shard == path.name
    assert "took longer than" in fault.reason


def test_garbage_behind_the_seal_is_a_fault_and_no_crash(maker: Any) -> None:
    path = maker.write(maker.rows(2))
    data = path.read_bytes()
    path.write_bytes(data[:700] + bytes(len(data) - 700))
    assert len(verify(maker.folder, deep=True)) == 2


def test_other_files_and_missing_shards_are_faults(maker: Any) -> None:
    maker.write(maker.rows(2), index=0, count=2)
    (maker.folder / "poses.h5").write_bytes(b"something")
    reasons = [fault.reason for fault in verify(maker.folder)]
    assert any("poses.h5 must be a feature cache" in reason for reason in reasons)
    (maker.folder / "poses.h5").unlink()
    (fault,) = verify(maker.folder)
    assert "lacks train-1-of-2.h5" in fault.reason


def test_an_empty_folder_is_refused(tmp_path: Path) -> None:
    with pytest.raises(CacheError, match="there are none"):
        verify(tmp_path)
