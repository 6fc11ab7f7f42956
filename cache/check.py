"""Process in which ``verify`` parses a shard: ``python -m fla_llm.cache.check SHARD SECONDS``.

Print a JSON list [video, fault] a line on standard output. The line [id, null] comes first when a video
is begun, so that the parent knows the current video if this process dies. Then comes a line for each
fault.
"""

import json
import resource
import sys
import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import h5py
import numpy as np

from ..core.errors import CacheError
from .shard import ShardIndex, check_stored, read_index

MEMORY_BYTES = 4 << 30
"""Limit of address space. Libraries take about 1 GB, a video a few MB."""


def check_shard(path: Path) -> Iterator[tuple[str | None, str | None]]:
    """Yield (video, None) for each video that is begun, and (video, fault) for each fault."""
    try:
        # Damage of the index concerns all videos, so the fault names none.
        index = read_index(path)
    except CacheError as error:
        yield None, str(error)
        return
    with h5py.File(path, "r", locking=False) as file:
        features: Any = file["features"]
        # The parent learns each video before its bytes are parsed: a crash cannot be reported by this
        # process.
        for number, row in enumerate(index.rows):
            yield row.id, None
            try:
                fault = _fault_of(features.get(str(number)), index, number)
            except (OSError, RuntimeError, ValueError) as error:
                fault = f"It cannot be read: {error}."
            if fault:
                yield row.id, fault


def _fault_of(dataset: Any, index: ShardIndex, number: int) -> str | None:
    """Return the fault of a video's features, or None."""
    # A flipped bit in a link can turn a dataset into a group, or remove the name.
    if not isinstance(dataset, h5py.Dataset):
        return f"/features/{number} must be a dataset, but is {dataset}."
    expected = (int(index.num_steps[number]), index.provenance.feature_size)
    if dataset.shape != expected or dataset.dtype != np.float16 or not len(dataset):
        return f"It must be {expected} float16 by the index, but is {dataset.shape} {dataset.dtype}."
    check_stored(dataset, file_bytes=index.path.stat().st_size)
    features = dataset[()]
    if zlib.crc32(features.tobytes()) != index.crc32[number]:
        return "Its features are not those that were written: the CRC-32 in the index differs."
    if not np.isfinite(features).all():
        return "Its features hold NaN or infinity."
    return None


def main() -> None:
    """Check the shard named on the command line."""
    path, seconds = Path(sys.argv[1]), int(sys.argv[2])
    # Damaged sizes can ask for any amount of memory, damaged links can form an endless loop.
    resource.setrlimit(resource.RLIMIT_AS, (MEMORY_BYTES, MEMORY_BYTES))
    resource.setrlimit(resource.RLIMIT_CPU, (seconds, seconds))
    for found in check_shard(path):
        print(json.dumps(found), flush=True)


if __name__ == "__main__":
    main()
