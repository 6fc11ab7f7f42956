"""Reader of a feature cache: a single sequence of videos over all shards."""

import logging
import os
from collections.abc import Sequence
from functools import cached_property
from pathlib import Path
from typing import Any

import h5py
import numpy as np

from ..core.errors import CacheError
from ..core.files import visible
from .checksum_header import read_checksum
from .disk import is_local
from .format import FEATURE_DTYPE, CacheRow, Provenance, parse_shard_name, provenance_difference, shard_name
from .memory import FeatureMemory
from .shard import ShardIndex, check_stored, damaged, read_index

logger = logging.getLogger(__name__)


class FeatureCache:
    """Videos of one split or of all splits, by number: ``cache[i]`` is a new array (T, D) float16.

    Rows are ordered by split, shard and position in the shard. The object can be pickled and forked: each
    process opens the files for itself at the first read.
    """

    folder: Path
    """Folder of the shards."""
    rows: list[CacheRow]
    """Record of each video. An augmented view of a clip is a row of its own."""
    num_steps: np.ndarray
    """Steps of each row, (N,) int64."""
    crc32: np.ndarray
    """Stored checksum of each row's features, (N,) int64."""
    rejected: list[tuple[str, int]]
    """(id, view) of the planned videos without a row, which extraction could not encode."""
    provenance: Provenance
    """Origin of the features, of the first split if several are open."""

    def __init__(
        self, folder: Path | str, split: str | None = None, *, in_memory: bool = False, workers: int = 0
    ) -> None:
        """Read the indices of all shards, and no features.

        Args:
            folder: a cache of ``fla extract``.
            split: ``train``, ``dev`` or ``test``, or None for all.
            in_memory: keep every array that was read, the fastest choice where all fit.
            workers: worker processes that will read the cache; they share the arrays in memory.

        Raises:
            CacheError: the folder holds no cache or other files, lacks a shard, or the shards disagree.
            ConfigError: the arrays in memory must be shared, and there is no room for that.
        """
        self.folder = Path(folder)
        shards = read_shards(self.folder, split)
        self._paths = [shard.path for shard in shards]
        self._places = [(s, row) for s, shard in enumerate(shards) for row in range(len(shard.rows))]
        self.rows = [row for shard in shards for row in shard.rows]
        self.num_steps = np.concatenate([shard.num_steps for shard in shards])
        self.crc32 = np.concatenate([shard.crc32 for shard in shards])
        self.rejected = [clip for shard in shards for clip in shard.rejected]
        self.provenance = shards[0].provenance
        width = self.provenance.feature_size
        self._memory = FeatureMemory(self.num_steps, width, workers=workers) if in_memory else None
        logger.debug(
            f"{self.folder}: {len(shards)} shards, {len(self.rows)} rows, encoder {self.fingerprint}"
        )
        self._files: dict[int, _ShardFile] = {}
        # Open HDF5 files cannot be shared with a fork.
        self._pid = os.getpid()

    @property
    def fingerprint(self) -> str:
        """Fingerprint of the encoder."""
        return self.provenance.encoder_fingerprint

    @cached_property
    def views(self) -> dict[str, tuple[int, ...]]:
        """Row numbers of each id in the order of views: ``cache[cache.views["x"][0]]``.

        Ids are ordered by their first rows. With all splits open, an id of two splits has the rows of both.
        """
        views: dict[str, list[int]] = {}
        for number in sorted(range(len(self)), key=lambda number: self.rows[number].view):
            views.setdefault(self.rows[number].id, []).append(number)
        return {row.id: tuple(views[row.id]) for row in self.rows}

    def __len__(self) -> int:
        """Return how many rows there are."""
        return len(self.rows)

    def __getitem__(self, index: int) -> np.ndarray:
        if self._memory is None:
            return self._read(index)
        if (kept := self._memory.get(index)) is not None:
            return kept  # a copy: a caller may change it, and the next epoch needs the stored one
        features = self._read(index)
        self._memory.put(index, features)
        return features

    def __getstate__(self) -> dict[str, Any]:
        # Open files cannot be pickled.
        return self.__dict__ | {"_files": {}}

    def _read(self, index: int) -> np.ndarray:
        if self._pid != os.getpid():  # after a fork: the parent's handles are not ours to use
            self._files, self._pid = {}, os.getpid()
        shard, row = self._places[index]
        if shard not in self._files:
            self._files[shard] = _ShardFile(self._paths[shard])
        return self._files[shard].read(row, shape=(int(self.num_steps[index]), self.provenance.feature_size))


class _ShardFile:
    """An open shard. HDF5 gives the position of a video's bytes, and a memory map gives the bytes.

    On a network disk, HDF5 reads everything: when the server fails, a read through HDF5 raises an error, but
    a memory map would end the process with SIGBUS.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self._features: Any = h5py.File(path, "r", locking=False)["features"]
        # HDF5 takes a global lock and 0.2 ms for each read, a map needs neither.
        self._bytes = np.memmap(path, dtype=np.uint8, mode="r") if is_local(path) else None
        self._size = path.stat().st_size
        self._starts: dict[int, int] = {}

    def read(self, row: int, *, shape: tuple[int, int]) -> np.ndarray:
        """Return a copy of the features of ``row``, which must have this shape.

        Raises:
            CacheError: the shard is damaged.
        """
        if row not in self._starts:
            self._starts[row] = self._find(row, shape)
        if self._bytes is None:
            return self._read_by_hdf5(row)
        start = self._starts[row]
        data = self._bytes[start : start + 2 * shape[0] * shape[1]]
        # tobytes copies: an array over the map would keep the file open, and be read-only.
        return np.frombuffer(data.tobytes(), dtype=FEATURE_DTYPE).reshape(shape).astype(np.float16)

    def _find(self, row: int, shape: tuple[int, int]) -> int:
        """Return where the bytes of a row begin in the file."""
        try:
            dataset = self._features[str(row)]
            start = check_stored(dataset, file_bytes=self._size)
        except (OSError, RuntimeError, KeyError, AttributeError, ValueError) as error:
            raise damaged(self._path, f"video {row}: {error}") from error
        if dataset.shape != shape or dataset.dtype != np.float16:
            raise damaged(self._path, f"video {row} is {dataset.shape} {dataset.dtype}, not {shape} float16")
        return start

    def _read_by_hdf5(self, row: int) -> np.ndarray:
        try:
            return np.asarray(self._features[str(row)][()], dtype=np.float16)
        except (OSError, RuntimeError) as error:
            raise damaged(self._path, f"video {row}: {error}") from error


def splits_in(folder: Path | str) -> list[str]:
    """Return the splits a cache has shards of, in alphabetical order."""
    names = [parse_shard_name(path.name) for path in Path(folder).glob("*.h5")]
    return sorted({name[0] for name in names if name})


def read_shards(folder: Path, split: str | None = None) -> list[ShardIndex]:
    """Return the indices of a cache's shards, in the order of the splits' names and shard numbers.

    Raises:
        CacheError: as :class:`FeatureCache`.
    """
    return read_agreeing(shard_paths(folder, split))


def read_agreeing(paths: Sequence[Path]) -> list[ShardIndex]:
    """Return the indices of shards of a cache, which may be incomplete.

    Raises:
        CacheError: a shard is damaged, two shards disagree, or an id is twice in a split.
    """
    shards = [read_index(path) for path in paths]
    firsts: dict[str, ShardIndex] = {}
    for shard in shards:
        # Against the first of all for the encoder, against the first of the split for the frame rate.
        _check_agreement(shards[0], shard)
        _check_agreement(firsts.setdefault(shard.provenance.split, shard), shard)
    for name in firsts:
        _check_unique([shard for shard in shards if shard.provenance.split == name])
    return shards


def shard_paths(folder: Path, split: str | None = None) -> list[Path]:
    """Return the shards of a cache, all of each split, in the order of the splits' names and shard numbers.

    Raises:
        CacheError: as :func:`planned_paths`, or one is missing.
    """
    paths = planned_paths(folder, split)
    if missing := [path.name for path in paths if not path.exists()]:
        raise CacheError(
            f"{folder} must hold all shards of a split, but lacks {', '.join(missing)}.\n"
            "Finish its extraction."
        )
    return paths


def planned_paths(folder: Path, split: str | None = None) -> list[Path]:
    """Return all shards of the splits in a cache, missing shards included.

    Raises:
        CacheError: there are no shards, shards of two sets, or an ``*.h5`` file with another name.
    """
    if not folder.is_dir():
        raise CacheError(
            f"{folder} must be the folder of a feature cache, but does not exist.\nRun: fla extract"
        )
    counts = _count_shards(folder)
    if not counts or (split is not None and split not in counts):
        found = f"only {', '.join(sorted(counts))}" if counts else "none"
        raise CacheError(f"{folder} must hold shards ({split or 'split'}-0-of-1.h5), but there are {found}.")
    wanted = [split] if split else sorted(counts)
    return [folder / shard_name(name, i, counts[name]) for name in wanted for i in range(counts[name])]


def _count_shards(folder: Path) -> dict[str, int]:
    """Return the planned number of shards of each split, by the names of the existing shards."""
    counts: dict[str, int] = {}
    for path in visible(folder.glob("*.h5")):
        name = parse_shard_name(path.name)
        if name is None:
            read_checksum(path)  # names the commoner fault: it is no feature cache at all
            raise CacheError(f"{path} must be named like a shard, train-0-of-1.h5, but is not.")
        if counts.setdefault(name[0], name[2]) != name[2]:
            raise CacheError(
                f"{folder} must hold one set of {name[0]} shards, but holds some of {counts[name[0]]} "
                f"and some of {name[2]}.\nDelete the set that is not wanted."
            )
    return counts


def _check_agreement(first: ShardIndex, other: ShardIndex) -> None:
    """Refuse shards of different origin. Splits may differ in frame rate."""
    name = parse_shard_name(other.path.name)
    if name and name[0] != other.provenance.split:
        raise CacheError(f"{other.path} must hold the split {name[0]}, but holds {other.provenance.split}.")
    same_split = first.provenance.split == other.provenance.split
    ignore = () if same_split else ("split", "step_seconds")
    if difference := provenance_difference(first.provenance, other.provenance, ignore=ignore):
        key, left, right = difference
        raise CacheError(
            f"{first.path} and {other.path} disagree: "
            f"{key} is {left!r} in the first and {right!r} in the second.\n"
            "Extract both with the same encoder and settings."
        )


def _check_unique(shards: Sequence[ShardIndex]) -> None:
    owners: dict[tuple[str, int], Path] = {}
    for shard in shards:
        for row in shard.rows:
            if (row.id, row.view) in owners:
                raise CacheError(
                    f"An id must be unique in a split, but {row.id!r} (view {row.view}) is in "
                    f"{owners[row.id, row.view].name} and in {shard.path.name} of {shard.path.parent}."
                )
            owners[row.id, row.view] = shard.path
