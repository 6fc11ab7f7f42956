"""Files of an export: one ``.npy`` for each video, or safetensors of many videos.

A file is written under a temporary name and renamed when complete. A rerun skips complete files.
"""

import json
from pathlib import Path

import numpy as np

from ..cache.format import CacheRow, to_attributes
from ..cache.reader import FeatureCache
from ..core.errors import CacheError
from ..core.files import atomic_write
from ..core.progress import progress
from .clip_names import clip_name, view_mark

MAX_FILE_BYTES = 512 << 20
"""Limit of features in a safetensors file. The library holds the features in memory twice while writing."""
_NPY_HEADER_BYTES = 128
_RESERVED_KEY = "__metadata__"  # safetensors writes a tensor of that name, but does not read it back


def write_npy_files(cache: FeatureCache, out: Path, split: str) -> list[dict[str, str]]:
    """Write ``OUT/<split>/<name>.npy`` for each row, and return the row's ``file`` relative to ``OUT``."""
    (out / split).mkdir(exist_ok=True)
    files = [f"{split}/{clip_name(row.id, view=row.view)}.npy" for row in cache.rows]
    for index, file in enumerate(progress(files, desc=f"export {split}", unit="clip")):
        path = out / file
        size = 2 * int(cache.num_steps[index]) * cache.provenance.feature_size + _NPY_HEADER_BYTES
        # Not synced, clip by clip: after a power cut a file may be short, and is then written again.
        if not path.exists() or path.stat().st_size != size:
            _write_npy(path, cache[index])
    return [{"file": file} for file in files]


def write_safetensors_files(
    cache: FeatureCache, out: Path, split: str, *, max_file_bytes: int
) -> list[dict[str, str]]:
    """Write ``OUT/<split>-<i>-of-<n>.safetensors``, and return the ``file`` and ``key`` of each row.

    The metadata of each file holds the cache's attributes as JSON under ``made_by``.

    Raises:
        CacheError: two rows have the same key, or an id is reserved by safetensors.
    """
    from safetensors.numpy import save_file

    keys = _keys(cache.rows)
    groups = _group(2 * cache.num_steps * cache.provenance.feature_size, max_bytes=max_file_bytes)
    # One entry: the library orders entries at random, and equal work should give equal bytes.
    metadata = {"made_by": json.dumps(to_attributes(cache.provenance), ensure_ascii=False)}
    places: list[dict[str, str]] = []
    with progress(desc=f"export {split}", total=len(cache), unit="clip") as bar:
        for i, rows in enumerate(groups):
            path = out / f"{split}-{i}-of-{len(groups)}.safetensors"
            # Equal input gives equal bytes, so an existing file is the right one.
            if not path.exists():
                with atomic_write(path) as temporary:
                    save_file({keys[row]: cache[row] for row in rows}, temporary, metadata=metadata)
            places += [{"file": path.name, "key": keys[row]} for row in rows]
            bar.update(len(rows))
    return places


def _write_npy(path: Path, features: np.ndarray) -> None:
    # A kill must not leave a half file under the final name.
    temporary = path.with_name(f".{path.name}.tmp")
    with temporary.open("wb") as file:
        np.save(file, features, allow_pickle=False)
    temporary.replace(path)


def _keys(rows: list[CacheRow]) -> list[str]:
    """Return the key of each row: the id, followed by the view where the row is not the clean pass."""
    keys = [f"{row.id}{view_mark(row.view)}" for row in rows]
    seen = {_RESERVED_KEY}
    for key in keys:
        if key in seen:
            raise CacheError(
                f"A key in safetensors must be free, but {key!r} is taken.\nExport with --format npy."
            )
        seen.add(key)
    return keys


def _group(sizes: np.ndarray, *, max_bytes: int) -> list[range]:
    """Return ranges of rows with at most ``max_bytes`` in total. A larger row is alone.

    >>> _group(np.array([3, 3, 3, 9]), max_bytes=6)
    [range(0, 2), range(2, 3), range(3, 4)]
    """
    starts, filled = [0], 0
    for row, size in enumerate(sizes.tolist()):
        if row > starts[-1] and filled + size > max_bytes:
            starts.append(row)
            filled = 0
        filled += size
    return [range(start, stop) for start, stop in zip(starts, [*starts[1:], len(sizes)], strict=True)]
