"""Clips of feature caches: rows of a clip, views and streams."""

from collections.abc import Sequence
from functools import cached_property
from itertools import product
from pathlib import Path
from typing import Any, cast

import numpy as np

from ..cache.format import CacheRow
from ..cache.reader import FeatureCache, planned_paths, splits_in
from ..core.errors import CacheError, DataError
from ..core.progress import progress
from ..core.sample import Task
from ..core.seeds import derive_seed
from ..llm.prompt import examples_key
from .streams import StreamRecord, missing_clips, streams_of


class FeatureItems:
    """Clips of a split, from a cache or several caches.

    The rows of a clip are views. Training draws a view from (seed, epoch, id). Evaluation reads view 0.
    Caches with the same ids are streams: a clip has features of each stream, from the same drawn view.
    """

    ids: list[str]
    """Ids of the used clips: ``num_usable`` clips, or fewer with a limit."""
    num_usable: int
    """Number of usable clips in the split."""
    missing: dict[str, str]
    """Unusable clips of the split, with the reason: prepared = usable + missing."""

    def __init__(
        self, caches: Sequence[FeatureCache], *, limit: int | None = None, view_seed: int | None = None
    ) -> None:
        """Put caches together.

        Args:
            caches: caches of the same split: from the same encoder with disjoint ids, or with the same ids.
            limit: number of clips from the start of each cache. With streams, from the start of the first.
            view_seed: seed of the drawn views. None always takes view 0.

        Raises:
            CacheError: :func:`.streams.streams_of` refuses the caches. No clip is usable. ``view_seed`` is
                None, and a clip has no view 0.
        """
        self.streams = streams_of(caches)
        self.view_seed = view_seed
        # Training may draw any view, but an evaluation needs the clean pass.
        self.missing = missing_clips(self.streams, clean=view_seed is None)
        usable = [[id for id in cache.views if id not in self.missing] for cache in self.streams[0].caches]
        self.num_usable = sum(map(len, usable))
        self.ids = [id for ids in usable for id in ids[:limit]]
        if not self.ids:
            self._refuse_nothing(caches)
        if view_seed is None:
            self._check_clean_passes()

    def __len__(self) -> int:
        """Return the number of clips."""
        return len(self.ids)

    def get(self, index: int, epoch: int = 0) -> dict[str, Any]:
        """Return a clip. ``features`` is an array (T, F), or a tuple of arrays for several streams.

        Raises:
            DataError: the features hold NaN or infinity.
        """
        row = self._about(index)
        view = self._view(row.id, epoch)
        arrays = tuple(stream.features(row.id, view) for stream in self.streams)
        for number, array in enumerate(arrays, start=1):
            # A NaN would spread to all weights in one step, and the log would not name the clip.
            if not np.isfinite(array).all():
                where = f" in stream {number}" if len(arrays) > 1 else ""
                raise DataError(
                    f"Features of {row.id!r}{where} must be finite, but hold NaN or infinity.\n"
                    "Run: fla cache verify"
                )
        features = arrays[0] if len(arrays) == 1 else arrays
        return {
            "id": row.id, "features": features, "text": row.text, "language": row.language, "task": row.task,
        }  # fmt: skip

    @property
    def fingerprint(self) -> str:
        """Encoder fingerprint of the first stream."""
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
        """Record of each stream: encoder and width."""
        return [stream.record for stream in self.streams]

    @cached_property
    def stream_lengths(self) -> list[list[int]]:
        """Feature steps for each stream and clip, by the longest view."""
        return [[stream.longest(id) for id in self.ids] for stream in self.streams]

    @cached_property
    def lengths(self) -> list[int]:
        """Feature steps of each clip, by the longest view. Steps of several streams are added."""
        return [sum(steps) for steps in zip(*self.stream_lengths, strict=True)]

    @property
    def corpora(self) -> tuple[str, ...]:
        """Corpora of the clips, sorted."""
        caches = (cache for stream in self.streams for cache in stream.caches)
        return tuple(sorted({cache.provenance.corpus for cache in caches}))

    @property
    def texts(self) -> list[str]:
        """The sentence of each clip."""
        return [self._about(index).text for index in range(len(self))]

    @property
    def further_references(self) -> dict[str, tuple[str, ...]]:
        """Further correct sentences of each clip, by id."""
        return {id: self.streams[0].about(id).references for id in self.ids}

    @property
    def languages(self) -> list[str]:
        """The language code of each clip."""
        return [self._about(index).language for index in range(len(self))]

    @property
    def tasks(self) -> list[Task]:
        """The task of each clip."""
        # The reader of shards refuses other words.
        return [cast(Task, self._about(index).task) for index in range(len(self))]

    @property
    def examples_keys(self) -> list[str]:
        """Language and task of each clip, as the key of examples before its prompt."""
        return [examples_key(*pair) for pair in zip(self.languages, self.tasks, strict=True)]

    def _about(self, index: int) -> CacheRow:
        return self.streams[0].about(self.ids[index])

    def _view(self, id: str, epoch: int) -> int:
        """Draw a view from the views of all streams. A stream without the view gives the clean pass."""
        # All streams draw from one list, so that the streams of a clip show the same view.
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
    """Clips with the features of other clips: a control for the language model alone."""

    def __init__(self, items: FeatureItems, order: Sequence[int]) -> None:
        """Give clip i the features of clip ``order[i]``."""
        self.items = items
        self.order = order

    def __len__(self) -> int:
        """Return the number of clips."""
        return len(self.items)

    def get(self, index: int, epoch: int = 0) -> dict[str, Any]:
        """Return clip ``index`` with the features of another clip."""
        return self.items.get(index, epoch) | {
            "features": self.items.get(self.order[index], epoch)["features"]
        }

    @property
    def stream_lengths(self) -> list[list[int]]:
        """Feature steps for each stream and clip, in the shuffled order."""
        return [[lengths[i] for i in self.order] for lengths in self.items.stream_lengths]


def open_caches(
    features: Sequence[Path], split: str, *, in_memory: bool = False, workers: int = 0
) -> list[FeatureCache]:
    """Open a split of every cache with this split.

    Args:
        features: folders of the caches.
        split: ``train``, ``dev`` or ``test``.
        in_memory: read all features now and keep the features in memory.
        workers: number of reading processes. All processes share the features in memory.

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
    """Read every row of the caches."""
    rows = [(cache, index) for cache in caches for index in range(len(cache))]
    for cache, index in progress(rows, desc=f"reading {caches[0].provenance.split}", unit="clip"):
        # Worker processes start again in each epoch, and share only rows that were read before the start.
        cache[index]
