"""A file that h5py writes to a full disk: what HDF5 wrote is what it reads, so that it closes in order."""

import errno
import os
import random
import runpy
from io import SEEK_END
from pathlib import Path
from typing import Any

import pytest

from fla_llm.cache.output import HDF5Output
from fla_llm.cache.shard import write_shard

Faults: Any = runpy.run_path(str(Path(__file__).with_name("faults.py")))["Faults"]
GARBAGE = b"\xaa"
"""What a buffer holds before it is filled."""
NUM_ROWS = 40
"""Enough for HDF5 to read back, on closing, what it wrote before."""


def read(output: HDF5Output, start: int, size: int) -> bytes:
    data = bytearray(GARBAGE * size)
    output.seek(start)
    output.readinto(memoryview(data))
    return bytes(data)


def write_and_read(path: Path) -> None:
    """Write at random places, and compare every read with the bytes that were written."""
    draw, expected = random.Random(3), bytearray()
    with HDF5Output(path) as output:
        for _ in range(40):
            start, content = draw.randrange(300), draw.randbytes(draw.randrange(1, 40))
            output.seek(start)
            output.write(memoryview(content))
            expected.extend(bytes(max(0, start + len(content) - len(expected))))
            expected[start : start + len(content)] = content
            place, size = draw.randrange(360), draw.randrange(1, 60)
            assert read(output, place, size) == bytes(expected[place : place + size]).ljust(size, b"\0")
            assert output.seek(0, SEEK_END) == len(expected)


@pytest.mark.parametrize("half", [False, True])
def test_reads_give_what_was_written_whether_or_not_the_disk_took_it(tmp_path: Path, half: bool) -> None:
    write_and_read(tmp_path / "whole")
    faults = Faults(tmp_path, at=6, strike="full", half=half)
    with faults.injected(), pytest.raises(OSError, match=os.strerror(errno.ENOSPC)):
        write_and_read(tmp_path / "file")


def test_hdf5_meets_no_error_wherever_the_disk_is_full(maker: Any, tmp_path: Path) -> None:
    rows = maker.rows(NUM_ROWS)

    def write(folder: Path, faults: Any) -> None:
        folder.mkdir()
        arrays = [maker.features(number) for number in range(NUM_ROWS)]
        with faults.injected():
            write_shard(
                folder / "shard", rows=rows, features=arrays, crc32=[0] * NUM_ROWS, rejected=[("a", 0)],
                provenance=maker.made_by(),
            )  # fmt: skip

    whole = Faults(tmp_path)
    write(tmp_path / "whole", whole)
    writes = [number for number, name in enumerate(whole.operations) if name == "write"]
    assert len(writes) > 20
    for at in writes[::4]:
        with pytest.raises(OSError, match=os.strerror(errno.ENOSPC)) as caught:
            write(tmp_path / str(at), Faults(tmp_path, at=at, strike="full"))
        assert caught.value.__context__ is None, f"h5py raised an error of its own at operation {at}"
