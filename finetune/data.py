"""Clips of feature caches: rows of a clip, views and streams."""

from collections.abc import Sequence
from functools import cached_property
from itertools import product
from pathlib import Path
from typing import Any

import numpy as np

from ..cache.format import CacheRow
from ..cache.reader import FeatureCache, planned_paths, splits_in
from ..core.errors import CacheError, DataError
from ..core.progress import progress
from ..core.seeds import derive_seed
from .streams import StreamRecord, missing_clips, streams_of


class FeatureItems:
    """The clips of one split of one or several caches.

    A clip's rows are its views; training draws one of them from (seed, epoch, id), evaluation reads view 0.
    Caches with the same ids are streams: a clip has features of each, and their views are drawn alike.
    """

    ids: list[str]
    """The clips that are used: ``num_usable`` of them, or fewer where there is a limit."""
    num_usable: int
    """Clips of the split that could be used."""
    missing: dict[str, str]
    """Clips of the split that cannot be used, and why: prepared = usable + missing."""

    def __init__(
        self, caches: Sequence[FeatureCache], *, limit: int | None = None, view_seed: int | None = None
    ) -> None:
        """Put caches together.

        Args:
            caches: each of the same split: of one encoder with disjoint ids, or with the same ids.
            limit: clips kept of each cache, from its start; of streams, from the start of the first.
            view_seed: draws views; None always takes view 0.

        Raises:
            CacheError: as :func:`.streams.streams_of`, no clip can be used, or view 0 is wanted and was not
                planned.
        """
        self.streams = streams_of(caches)
        self.view_seed = view_seed
        self.missing = missing_clips(self.streams, clean=view_seed is None)
        usable = [[id for id in cache.views if id not in self.missing] for cache in self.streams[0].caches]
        self.num_usable = sum(map(len, usable))
        self.ids = [id for ids in usable for id in ids[:limit]]
        if not self.ids:
            self._refuse_nothing(caches)
        if view_seed is None:
            self._check_clean_passes()

    def __len__(self) -> int:
        """Return how many clips there are."""
        return len(self.ids)

    def get(self, index: int, epoch: int = 0) -> dict[str, Any]:
        """Return one clip; its ``features`` are an array (T, F), or of several streams a tuple of them.

        Raises:
            DataError: its features are not all finite numbers.
        """
        row = self._about(index)
        view = self._view(row.id, epoch)
        arrays = tuple(stream.features(row.id, view) for stream in self.streams)
        for number, array in enumerate(arrays, start=1):
            if not np.isfinite(array).all():
                where = f" in stream {number}" if len(arrays) > 1 else ""
                raise DataError(
                    f"Features of {row.id!r}{where} must be finite, but hold NaN or infinity.\n"
                    "Run: fla cache verify"
                )
        features = arrays[0] if len(arrays) == 1 else arrays
        return {"id": row.id, "features": features, "text": row.text, "language": row.language}

    @property
    def fingerprint(self) -> str:
        """The fingerprint of the encoder that made the features, of the first stream."""
        return self.records[0].fingerprint

    @property
    def feature_size(self) -> int:
        """Width of a feature, of the first stream."""
        return self.feature_sizes[0]

    @property
    def feature_sizes(self) -> tuple[int, ...]:
        """Width of a feature of each stream."""
        return tuple(record.feature_size for record in self.records)

    @cached_property
    def records(self) -> list[StreamRecord]:
        """What made each stream, and how wide it is."""
        return [stream.record for stream in self.streams]

    @cached_property
    def stream_lengths(self) -> list[list[int]]:
        """Of each stream: feature steps of each clip, of its longest view."""
        return [[stream.longest(id) for id in self.ids] for stream in self.streams]

    @cached_property
    def lengths(self) -> list[int]:
        """Feature steps of each clip, of its longest view; those of its streams add up."""
        return [sum(steps) for steps in zip(*self.stream_lengths, strict=True)]

    @property
    def corpora(self) -> tuple[str, ...]:
        """The corpora that the clips belong to, sorted."""
        caches = (cache for stream in self.streams for cache in stream.caches)
        return tuple(sorted({cache.provenance.corpus for cache in caches}))

    @property
    def texts(self) -> list[str]:
        """The sentence of each clip."""
        return [self._about(index).text for index in range(len(self))]

    @property
    def languages(self) -> list[str]:
        """The language code of each clip."""
        return [self._about(index).language for index in range(len(self))]

    def _about(self, index: int) -> CacheRow:
        return self.streams[0].about(self.ids[index])

    def _view(self, id: str, epoch: int) -> int:
        """Draw one of the views that any stream has; a stream without it gives its clean pass."""
        views = sorted({view for stream in self.streams for view in stream.views(id)})
        drawn = 0 if self.view_seed is None else derive_seed(self.view_seed, epoch, id) % len(views)
        return views[drawn]

    def _refuse_nothing(self, caches: Sequence[FeatureCache]) -> None:
        folders, split = ", ".join(str(cache.folder) for cache in caches), caches[0].provenance.split
        missing = [f" Clip {id!r} is missing: {reason}." for id, reason in self.missing.items()]
        raise CacheError(
            f"{folders} must hold clips of split {split}, but none can be used.{''.join(missing[:1])}\n"
            "Run: fla cache info"
        )

    def _check_clean_passes(self) -> None:
        for id, stream in product(self.ids, self.streams):
            if first := stream.views(id)[0]:
                raise CacheError(f"Clip {id!r} must have its clean pass (view 0), but has only view {first}.")


class ShuffledFeatures:
    """Clips with the features of other clips: a control that scores the language model alone."""

    def __init__(self, items: FeatureItems, order: Sequence[int]) -> None:
        """Give clip i the features of clip ``order[i]``."""
        self.items = items
        self.order = order

    def __len__(self) -> int:
        """Return how many clips there are."""
        return len(self.items)

    def get(self, index: int, epoch: int = 0) -> dict[str, Any]:
        """Return clip ``index`` with another's features."""
        return self.items.get(index, epoch) | {
            "features": self.items.get(self.order[index], epoch)["features"]
        }

    @property
    def stream_lengths(self) -> list[list[int]]:
        """Of each stream: feature steps of each clip as it is given."""
        return [[lengths[i] for i in self.order] for lengths in self.items.stream_lengths]


def open_caches(
    features: Sequence[Path], split: str, *, in_memory: bool = False, workers: int = 0
) -> list[FeatureCache]:
    """Open one split of every cache that has it.

    Args:
        features: the caches' folders.
        split: ``train``, ``dev`` or ``test``.
        in_memory: read all features now and keep them.
        workers: processes that will read them; they share what is kept.

    Raises:
        CacheError: a folder is no cache, or no folder has the split.
    """
    for folder in features:
        planned_paths(folder)  # a mistyped folder has no split at all, and would be passed over
    having = [folder for folder in features if split in splits_in(folder)]
    kept = {"in_memory": in_memory, "workers": workers}
    caches = [FeatureCache(folder, split, **kept) for folder in having or features]
    if in_memory:
        _read_all(caches)
    return caches


def _read_all(caches: Sequence[FeatureCache]) -> None:
    """Read every row once: processes that load batches start anew for each epoch, and share what is there."""
    rows = [(cache, index) for cache in caches for index in range(len(cache))]
    for cache, index in progress(rows, desc=f"reading {caches[0].provenance.split}", unit="clip"):
        cache[index]
