"""No shape that a shard declares is allocated before the file is known to hold as many bytes."""

import runpy
from pathlib import Path
from typing import Any

import h5py
import pytest

from fla_llm.cache.checksum_header import write_checksum_header
from fla_llm.cache.reader import FeatureCache
from fla_llm.cache.shard import read_index
from fla_llm.cache.verify import verify
from fla_llm.core.errors import CacheError

refused: Any = runpy.run_path(str(Path(__file__).parents[1] / "little_memory.py"))["check_refused"]
HUGE = 1 << 30


@pytest.mark.parametrize("column", ["index/id", "index/num_steps", "rejected/id", "rejected/view"])
@pytest.mark.parametrize("is_chunked", [False, True])
def test_shapes_in_the_index_of_a_shard(maker: Any, column: str, is_chunked: bool) -> None:
    path = maker.write(maker.rows(2))
    redeclare(path, column, shape=(HUGE,), is_chunked=is_chunked)
    assert f"/{column} declares" in refused(lambda: read_index(path), error=CacheError)


def test_shapes_of_features(maker: Any) -> None:
    """The index may declare the same: then only the file's size tells."""
    path = maker.write(maker.rows(1))
    redeclare(path, "features/0", shape=(HUGE, maker.width))
    with h5py.File(path, "r+") as file:
        file["index/num_steps"][0] = HUGE
    write_checksum_header(path)
    assert "/features/0 declares" in refused(lambda: FeatureCache(path.parent)[0], error=CacheError)
    (fault,) = verify(path.parent, deep=True)
    assert fault.video == "trä/0"
    assert "/features/0 declares" in fault.reason


def redeclare(path: Path, name: str, *, shape: tuple[int, ...], is_chunked: bool = False) -> None:
    """Replace a dataset by one of a huge shape that stores no number, and write the checksum anew."""
    with h5py.File(path, "r+") as file:
        dtype: Any = h5py.string_dtype() if name.endswith("/id") else file[name].dtype
        del file[name]
        file.create_dataset(name, shape=shape, dtype=dtype, chunks=is_chunked or None)
    write_checksum_header(path)
