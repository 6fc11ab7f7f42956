"""Damage is found without parsing it, and traced to the video when asked."""

import importlib
import random
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest

from fla_llm.cache.check import check_shard
from fla_llm.cache.checksum_header import HEADER_BYTES, write_checksum_header
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


def test_a_thousand_flipped_bits_are_found(maker: Any) -> None:
    """All over the file: user block with its padding, HDF5's structures and gaps, features, index."""
    path = maker.write(maker.rows(4))
    whole = path.read_bytes()
    generator = random.Random(0)
    bits = [generator.randrange(8 * len(whole)) for _ in range(800)]
    bits += [generator.randrange(8 * HEADER_BYTES) for _ in range(200)]
    for bit in bits:
        flip(path, at=bit // 8, bit=bit % 8)
        assert verify(maker.folder), f"bit {bit}"
        path.write_bytes(whole)
    assert verify(maker.folder) == []


def test_deep_down_no_flipped_bit_hangs_or_crashes(maker: Any) -> None:
    """The superblock and the structures behind it lead a parser furthest astray."""
    path = maker.write(maker.rows(2))
    whole = path.read_bytes()
    generator = random.Random(1)
    for bit in (generator.randrange(8 * HEADER_BYTES, 8 * len(whole)) for _ in range(10)):
        flip(path, at=bit // 8, bit=bit % 8)
        assert "SHA-256" in verify(maker.folder, deep=True)[0].reason
        path.write_bytes(whole)


def test_deep_down_a_flipped_bit_of_a_video_names_that_video(maker: Any) -> None:
    path = maker.write(maker.rows(4))
    generator = random.Random(2)
    with h5py.File(path) as file:
        places = [(file[f"features/{n}"].id.get_offset(), file[f"features/{n}"].nbytes) for n in range(4)]
    whole = path.read_bytes()
    for number in [*range(4)] * 50:
        start, size = places[number]
        flip(path, at=start + generator.randrange(size), bit=generator.randrange(8))
        assert [(video, fault) for video, fault in check_shard(path) if fault] == [
            (
                f"trä/{number}",
                "Its features are not those that were written: the CRC-32 in the index differs.",
            )
        ]
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
    write_checksum_header(path)
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
