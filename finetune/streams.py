"""Streams: what one encoder made of every clip, such as its pictures or its poses.

Caches given together are streams of the same clips, or corpora of different clips: their ids tell which.
"""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

from ..cache.format import CacheRow
from ..cache.reader import FeatureCache
from ..core.errors import CacheError

MAKING = ("level", "preprocessing", "frame_batch", "compute_dtype", "device_kind")
"""What a run keeps of a cache's provenance, besides the encoder: enough to make such features again."""


@dataclass(frozen=True, kw_only=True)
class StreamRecord:
    """What a run knows of a stream it was tuned on."""

    fingerprint: str
    """Of the encoder."""
    feature_size: int
    """Width of a feature."""
    made_by: tuple[dict[str, Any], ...] = ()
    """How its training features were made, by the names of ``MAKING``; several where corpora differ, none
    where the run is older than this record."""

    def to_dict(self) -> dict[str, Any]:
        """Return plain values, as ``run.json`` has them."""
        return asdict(self)

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> "StreamRecord":
        """Read back what :meth:`to_dict` gave."""
        return cls(**{**values, "made_by": tuple(values["made_by"])})

    @property
    def levels(self) -> set[str]:
        """Levels of its features: one, or none where that is not known."""
        return {making["level"] for making in self.made_by}


class Stream:
    """The clips of caches with disjoint ids and one encoder, by id and view."""

    def __init__(self, caches: Sequence[FeatureCache]) -> None:
        """Put caches together.

        Raises:
            CacheError: encoders, levels or widths differ.
        """
        _check_same_encoder(caches)
        self.caches = list(caches)
        self._rows = {id: {} for cache in caches for id in cache.views}  # id -> view -> its row
        for cache in caches:
            for index, row in enumerate(cache.rows):
                self._rows[row.id][row.view] = (cache, index)

    def views(self, id: str) -> list[int]:
        """Return the numbers of a clip's views, rising."""
        return sorted(self._rows[id])

    def features(self, id: str, view: int) -> np.ndarray:
        """Return the features (T, F) of a clip's view; where there is no such view, of its first."""
        cache, index = self._row(id, view)
        return cache[index]

    def about(self, id: str) -> CacheRow:
        """Return what is known of a clip."""
        cache, index = self._row(id, 0)
        return cache.rows[index]

    def longest(self, id: str) -> int:
        """Return the feature steps of a clip's longest view."""
        return max(int(cache.num_steps[index]) for cache, index in self._rows[id].values())

    def checksums(self, id: str) -> list[tuple[int, int]]:
        """Return the number and the crc32 of the features of each of a clip's views, rising."""
        rows = [(view, *self._rows[id][view]) for view in self.views(id)]
        return [(view, int(cache.crc32[index])) for view, cache, index in rows]

    @property
    def record(self) -> StreamRecord:
        """What a run tuned on this stream keeps of it."""
        made_by: list[dict[str, Any]] = []
        for cache in self.caches:
            making = {name: getattr(cache.provenance, name) for name in MAKING}
            if making not in made_by:
                made_by.append(making)
        first = self.caches[0]
        return StreamRecord(
            fingerprint=first.fingerprint,
            feature_size=first.provenance.feature_size,
            made_by=tuple(made_by),
        )

    def _row(self, id: str, view: int) -> tuple[FeatureCache, int]:
        views = self._rows[id]
        return views[view if view in views else min(views)]


def streams_of(caches: Sequence[FeatureCache]) -> list[Stream]:
    """Return the streams that caches are: with the same ids one each, with disjoint ids one together.

    Raises:
        CacheError: their ids are neither; a folder is given twice; a clip's sentences differ between streams;
            or the caches of one stream come from several encoders.
    """
    counts = Counter(id for cache in caches for id in cache.views)
    if set(counts.values()) == {1}:
        return [Stream(caches)]
    _check_folders(caches)
    if set(counts.values()) != {len(caches)}:
        (often, most), (seldom, least) = counts.most_common()[0], counts.most_common()[-1]
        raise CacheError(
            "Caches given together must hold the same clips (streams) or none in common (corpora), but "
            f"{often!r} is in {most} of the {len(caches)} and {seldom!r} in {least}."
        )
    streams = [Stream([cache]) for cache in caches]
    for number, stream in enumerate(streams[1:], start=2):
        _check_same_sentences(streams[0], stream, ids=list(counts), number=number)
    return streams


def stream_names(stream: int) -> tuple[str, str]:
    """Return what a batch calls the features of a stream, counted from 0, and their lengths.

    >>> stream_names(0), stream_names(1)
    (('features', 'feature_lengths'), ('features_2', 'feature_lengths_2'))
    """
    ending = f"_{stream + 1}" if stream else ""
    return f"features{ending}", f"feature_lengths{ending}"


def _check_folders(caches: Sequence[FeatureCache]) -> None:
    seen: dict[Any, FeatureCache] = {}
    for cache in caches:
        if seen.setdefault(cache.folder.resolve(), cache) is not cache:
            raise CacheError(
                f"Caches given together must lie in different folders, but {cache.folder} is given twice: "
                f"{cache.rows[0].id!r} is in two of them."
            )


def _check_same_sentences(first: Stream, other: Stream, *, ids: Sequence[str], number: int) -> None:
    """Refuse clips that are only called alike."""
    for id in ids:
        one, two = first.about(id), other.about(id)
        if (one.text, one.language) != (two.text, two.language):
            raise CacheError(
                f"Streams of one clip must have one sentence, but {id!r} has {one.text!r} ({one.language}) "
                f"in stream 1 and {two.text!r} ({two.language}) in stream {number}."
            )


def _check_same_encoder(caches: Sequence[FeatureCache]) -> None:
    first = caches[0].provenance
    for cache in caches[1:]:
        if cache.fingerprint != caches[0].fingerprint:
            raise CacheError(
                "Caches given together must come from one encoder, but come from "
                f"{caches[0].fingerprint} and {cache.fingerprint}."
            )
        other = cache.provenance
        if (first.level, first.feature_size) != (other.level, other.feature_size):
            raise CacheError(
                f"Caches given together must hold features of one level, but hold {first.level} features of "
                f"width {first.feature_size} and {other.level} features of width {other.feature_size}."
            )
