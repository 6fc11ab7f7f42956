"""Content of a shard: write all in a single pass, read the index.

``/features/<row>``   one contiguous dataset for each video, (T, D) float16
``/index/<column>``   one-dimensional, entry i describes ``/features/<i>``
``/index/task``        the tasks, only where a task is not ``translate``
``/rejected/{id,view}``  planned videos that could not be read and have no row
``/index/references`` is there only if a clip has further correct sentences.
"""

import json
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import h5py
import numpy as np

from ..core.errors import CacheError
from ..core.sample import DEFAULT_TASK, TASKS
from .checksum_header import HEADER_BYTES, read_checksum
from .format import FEATURE_DTYPE, CacheRow, Provenance, from_attributes, to_attributes
from .output import HDF5Output

TEXT_COLUMNS = ("id", "text", "language", "signer")
ROW_NUMBERS = {"num_frames": "num_frames", "view": "view", "offset": "frame_offset"}
"""HDF5 column -> field of a row."""
REFERENCES = "references"
"""Optional column: a JSON list of the further sentences of each row."""
NUMBER_COLUMNS = ("num_steps", *ROW_NUMBERS, "crc32")
TASK_COLUMN = "task"


@dataclass(frozen=True, kw_only=True)
class ShardIndex:
    """Content of a shard without the features."""

    path: Path
    provenance: Provenance
    rows: tuple[CacheRow, ...]
    num_steps: np.ndarray
    """Steps of each row, (N,) int64."""
    crc32: np.ndarray
    """zlib.crc32 of the bytes of each row's features, (N,) int64."""
    rejected: tuple[tuple[str, int], ...]
    """(id, view) of the planned but unreadable videos."""


def write_shard(
    path: Path,
    *,
    rows: Sequence[CacheRow],
    features: Iterable[np.ndarray],
    crc32: Sequence[int],
    rejected: Sequence[tuple[str, int]],
    provenance: Provenance,
) -> None:
    """Write an HDF5 file whose bytes depend on the arguments alone.

    Args:
        path: the file, replaced if present.
        rows: N rows, in order.
        features: N arrays (T, D) float16, in the same order, read one at a time.
        crc32: checksum of each row's feature bytes.
        rejected: (id, view) of planned videos without a row.
        provenance: origin of the features.

    Raises:
        OSError: the disk is full or fails.
    """
    # The oldest file format: its object headers have no room for times, and every HDF5 reads it.
    layout: dict[str, Any] = {"userblock_size": HEADER_BYTES, "libver": "earliest", "track_order": False}
    with HDF5Output(path) as output, h5py.File(output, "w", **layout) as file:
        file.attrs.update(to_attributes(provenance))
        group, num_steps = file.create_group("features"), []
        # One array at a time: a split may be larger than memory.
        for row, array in enumerate(features):
            if output.failed:  # on a full disk; leaving the block raises the error
                break
            group.create_dataset(str(row), data=array.astype(FEATURE_DTYPE, copy=False), track_times=False)
            num_steps.append(len(array))
        index = file.create_group("index")
        for name in TEXT_COLUMNS:
            _write_text(index, name, [getattr(row, name) for row in rows])
        # A column of translations alone would change the bytes of every cache, and tell nothing.
        if any(row.task != DEFAULT_TASK for row in rows):
            _write_text(index, TASK_COLUMN, [row.task for row in rows])
        for name, field in ROW_NUMBERS.items():
            _write_numbers(index, name, [getattr(row, field) for row in rows])
        # Shards without further sentences keep the bytes of earlier versions.
        if any(row.references for row in rows):
            lists = [json.dumps(row.references, ensure_ascii=False) for row in rows]
            _write_text(index, REFERENCES, lists)
        _write_numbers(index, "num_steps", num_steps)
        _write_numbers(index, "crc32", crc32)
        group = file.create_group("rejected")
        _write_text(group, "id", [id_ for id_, _ in rejected])
        _write_numbers(group, "view", [view for _, view in rejected])


def read_index(path: Path) -> ShardIndex:
    """Read the index and the attributes of a shard.

    Raises:
        CacheError: the file is not a shard, or is damaged.
    """
    read_checksum(path)
    try:
        with h5py.File(path, "r", locking=False) as file:
            return _parse_index(file, path)
    except (
        OSError,
        RuntimeError,
        KeyError,
        ValueError,
        TypeError,
        AttributeError,
    ) as error:  # what h5py raises on damage
        # These are the errors of h5py on damaged bytes.
        raise damaged(path, str(error)) from error


def damaged(path: Path, reason: str) -> CacheError:
    """Return the error for a damaged shard."""
    return CacheError(f"{path} is damaged: {reason}.\nRun: fla cache verify --deep {path.parent}")


def check_stored(dataset: Any, *, file_bytes: int) -> int:
    """Return the position of a contiguous dataset's bytes in the file, 0 for an empty dataset.

    Raises:
        ValueError: the bytes are not in the file, or not in one piece.
    """
    size = dataset.size * dataset.id.get_type().get_size()
    start = dataset.id.get_offset() if size else 0
    # h5py allocates the declared shape before it reads. A chunked or never written dataset has no start.
    if start is None or start + size > file_bytes:
        raise ValueError(f"{dataset.name} declares {size} bytes, but they are not in the file")
    return start


def _parse_index(file: Any, path: Path) -> ShardIndex:
    provenance = from_attributes(file.attrs, origin=str(path))
    index, rejected, size = file["index"], file["rejected"], path.stat().st_size
    texts = {name: _read_text(index[name], file_bytes=size) for name in TEXT_COLUMNS}
    if TASK_COLUMN in index:
        texts[TASK_COLUMN] = _read_text(index[TASK_COLUMN], file_bytes=size)
        if unknown := set(texts[TASK_COLUMN]) - set(TASKS):
            raise ValueError(f"/index/task holds {sorted(unknown)[0]!r}, which is none of {', '.join(TASKS)}")
    numbers = {name: _read_numbers(index[name], file_bytes=size) for name in NUMBER_COLUMNS}
    left_out = _read_text(rejected["id"], file_bytes=size), _read_numbers(rejected["view"], file_bytes=size)
    optional = {REFERENCES: _read_lists(index[REFERENCES], file_bytes=size)} if REFERENCES in index else {}
    lengths = {name: len(column) for name, column in (texts | numbers | optional).items()}
    if len({*lengths.values(), len(file["features"])}) != 1:
        raise ValueError(f"columns of /index differ in length: {lengths}")
    columns = texts | {field: numbers[name].tolist() for name, field in ROW_NUMBERS.items()} | optional
    rows = tuple(
        CacheRow(**dict(zip(columns, values, strict=True))) for values in zip(*columns.values(), strict=True)
    )
    return ShardIndex(
        path=path,
        provenance=provenance,
        rows=rows,
        num_steps=numbers["num_steps"],
        crc32=numbers["crc32"],
        rejected=tuple(zip(left_out[0], left_out[1].tolist(), strict=True)),
    )


def _read_text(dataset: Any, *, file_bytes: int) -> list[str]:
    check_stored(dataset, file_bytes=file_bytes)
    return dataset.asstr()[:].tolist()


def _read_lists(dataset: Any, *, file_bytes: int) -> list[tuple[str, ...]]:
    lists = [json.loads(text) for text in _read_text(dataset, file_bytes=file_bytes)]
    for found in lists:
        if not isinstance(found, list) or not all(isinstance(text, str) for text in found):
            raise ValueError(f"{dataset.name} must hold lists of texts, but holds {found!r:.100}")
    return [tuple(found) for found in lists]


def _read_numbers(dataset: Any, *, file_bytes: int) -> np.ndarray:
    check_stored(dataset, file_bytes=file_bytes)
    return np.asarray(dataset[:], dtype=np.int64)


def _write_text(group: Any, name: str, values: Sequence[str]) -> None:
    data = np.array(values, dtype=object)
    group.create_dataset(name, data=data, dtype=h5py.string_dtype("utf-8"), track_times=False)


def _write_numbers(group: Any, name: str, values: Sequence[int]) -> None:
    group.create_dataset(name, data=np.array(values, dtype="<i8"), track_times=False)
