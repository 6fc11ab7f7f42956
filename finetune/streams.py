"""Streams: features of an encoder for every clip, for example of pictures or poses.

Several caches are streams of the same clips, or corpora of different clips. The clip ids decide: the
same ids or disjoint ids. A clip without features in a stream is missing: no other stream can replace the
features.
"""

import logging
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

from ..cache.format import CacheRow
from ..cache.reader import FeatureCache
from ..core.errors import CacheError
from ..poses.detector import PoseDetector

logger = logging.getLogger(__name__)

MAKING = ("encoder_config", "level", "preprocessing", "frame_batch", "compute_dtype", "device_kind")
"""Provenance of a cache in ``run.json``, without the weights: enough to extract equal features."""


@dataclass(frozen=True, kw_only=True)
class StreamRecord:
    """Record of a stream in ``run.json``."""

    fingerprint: str
    """Fingerprint of the encoder."""
    feature_size: int
    """Width of a feature."""
    made_by: tuple[dict[str, Any], ...] = ()
    """Provenance of the training features, by the names of ``MAKING``: several entries if corpora
    differ, none in runs of earlier versions."""

    def to_dict(self) -> dict[str, Any]:
        """Return plain values for ``run.json``."""
        return asdict(self)

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> "StreamRecord":
        """Return the record from the values of :meth:`to_dict`."""
        return cls(**{**values, "made_by": tuple(values["made_by"])})

    @property
    def levels(self) -> set[str]:
        """Level of the features. Empty for runs of earlier versions."""
        return {making["level"] for making in self.made_by}

    @property
    def mapped_from(self) -> str | None:
        """Fingerprint of the encoder whose features a mapper turned into this stream. None: no mapper."""
        mappings = [making["preprocessing"].get("mapped") for making in self.made_by]
        return mappings[0]["source"] if mappings and mappings[0] else None

    @property
    def encoder_fingerprint(self) -> str:
        """Fingerprint of the encoder that sees the videos of this stream."""
        return self.mapped_from or self.fingerprint

    @property
    def detectors(self) -> list[PoseDetector]:
        """Known detectors of the key points of this stream."""
        found = [making["preprocessing"].get("detector") for making in self.made_by]
        return [PoseDetector(**detector) for detector in found if detector is not None]

    @property
    def origins(self) -> set[str]:
        """Origins in words: released videos, small copies by their settings, or key points of a detector."""
        return {_describe_origin(making["preprocessing"]) for making in self.made_by}


def records_of(described: Mapping[str, Any]) -> list[StreamRecord]:
    """Return the streams of a run from ``run.json``. Early runs of one stream have no list of streams."""
    alone = {"fingerprint": described["feature_fingerprint"], "feature_size": described["feature_size"]}
    return [StreamRecord.from_dict({"made_by": ()} | one) for one in described.get("streams") or [alone]]


class Stream:
    """Clips of caches with disjoint ids and the same encoder, by id and view."""

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
        # Rejected views are kept to name the reason of a missing clip.
        self._rejected = {clip: cache for cache in caches for clip in cache.rejected}

    @property
    def planned(self) -> list[str]:
        """Ids of all clips of the extraction, in order. Rejected clips come last."""
        return list(dict.fromkeys([*self._rows, *(id for id, _ in self._rejected)]))

    def why_missing(self, id: str, *, clean: bool) -> str | None:
        """Return the reason for missing features of a clip, or None for a clip with features.

        Args:
            id: any clip.
            clean: only the clean pass (view 0) counts.
        """
        views = self._rows.get(id, {})
        # A clip whose clean pass was never planned is no missing clip but a cache made for training alone.
        if 0 in views or (views and not (clean and (id, 0) in self._rejected)):
            return None
        rejected_by = [cache for (own, _), cache in self._rejected.items() if own == id]
        if rejected_by:
            return f"it was rejected when {rejected_by[0].folder} was extracted"
        return f"{' and '.join(str(cache.folder) for cache in self.caches)} does not hold it"

    def views(self, id: str) -> list[int]:
        """Return the numbers of a clip's views, rising."""
        return sorted(self._rows[id])

    def features(self, id: str, view: int) -> np.ndarray:
        """Return the features (T, F) of a view of a clip. A missing view is replaced by the first view."""
        cache, index = self._row(id, view)
        return cache[index]

    def about(self, id: str) -> CacheRow:
        """Return the cache row of a clip: sentence, language and lengths."""
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
        """Record of this stream for ``run.json``."""
        made_by: list[dict[str, Any]] = []
        for cache in self.caches:
            making = {name: getattr(cache.provenance, name) for name in MAKING}
            # Corpora extracted with equal settings need only one entry.
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
        # Streams may have different numbers of views.
        return views[view if view in views else min(views)]


def streams_of(caches: Sequence[FeatureCache]) -> list[Stream]:
    """Return the streams of caches: a stream for each cache with the same ids, or one joint stream.

    Rejected clips count as ids of a cache. Streams may each lack a few clips: at least half of all ids must
    be in every cache.

    Raises:
        CacheError: some ids are in several caches, but fewer than half are in all. A folder is given twice.
            The sentences or tasks of a clip differ between streams. The caches of a stream come from several
            encoders.
    """
    planned = [dict.fromkeys([*cache.views, *(id for id, _ in cache.rejected)]) for cache in caches]
    counts = Counter(id for ids in planned for id in ids)
    if len(caches) == 1 or not counts or max(counts.values()) == 1:
        return [Stream(caches)]
    # A folder given twice has all ids in common with itself, and would pass as two streams.
    _check_folders(caches)
    _check_overlap(counts, total=len(caches))
    streams = [Stream([cache]) for cache in caches]
    for number, stream in enumerate(streams[1:], start=2):
        shared = [id for id in caches[0].views if id in caches[number - 1].views]
        _check_same_sentences(streams[0], stream, ids=shared, number=number)
    return streams


def missing_clips(streams: Sequence[Stream], *, clean: bool) -> dict[str, str]:
    """Return the clips missing in a stream, with reasons, in the order of the first stream.

    Args:
        streams: streams of a split.
        clean: only the clean pass (view 0) of a clip counts, as in every evaluation.
    """
    planned = dict.fromkeys(id for stream in streams for id in stream.planned)
    why = {id: [stream.why_missing(id, clean=clean) for stream in streams] for id in planned}
    return {id: ", and ".join(filter(None, reasons)) for id, reasons in why.items() if any(reasons)}


def warn_of_other_origins(known: StreamRecord, given: StreamRecord) -> None:
    """Log a warning if the features of a stream have other origins than those of a run."""
    if known.made_by and given.made_by and known.origins != given.origins:
        logger.warning(
            f"These features were made from {' and '.join(sorted(given.origins))}, those of training from "
            f"{' and '.join(sorted(known.origins))}: scores may be lower."
        )


def warn_of_mixed_origins(stream: StreamRecord) -> None:
    """Log a warning if the features of a stream come from several kinds of files, or several detectors."""
    if len(stream.origins) > 1:
        logger.warning(f"These features were made from {' and from '.join(sorted(stream.origins))}.")


def stream_names(stream: int) -> tuple[str, str]:
    """Return the names of features and lengths in a batch, for a stream counted from 0.

    >>> stream_names(0), stream_names(1)
    (('features', 'feature_lengths'), ('features_2', 'feature_lengths_2'))
    """
    ending = f"_{stream + 1}" if stream else ""
    return f"features{ending}", f"feature_lengths{ending}"


def _describe_origin(preprocessing: Mapping[str, Any]) -> str:
    if "poses" in preprocessing:
        detector = preprocessing.get("detector")
        return f"key points of {PoseDetector(**detector) if detector else 'an unrecorded detector'}"
    copies = preprocessing.get("copies")
    if copies is None:
        return "the prepared videos"
    return f"small copies of {copies['size']} pixels (crf {copies['crf']})"


def _check_folders(caches: Sequence[FeatureCache]) -> None:
    seen: dict[Any, FeatureCache] = {}
    for cache in caches:
        if seen.setdefault(cache.folder.resolve(), cache) is not cache:
            raise CacheError(
                f"Caches given together must lie in different folders, but {cache.folder} is given twice: "
                f"{next(iter(cache.views), 'each clip')!r} is in two of them."
            )


def _check_overlap(counts: Counter[str], *, total: int) -> None:
    """Refuse caches with too few common ids for streams, and too many for corpora."""
    shared = sum(count == total for count in counts.values())
    # Streams may lack a few clips each (rejected videos), but corpora with colliding ids must not be joined.
    if 2 * shared < len(counts):
        (often, most), (seldom, least) = counts.most_common()[0], counts.most_common()[-1]
        raise CacheError(
            "Caches given together must hold the same clips (streams) or none in common (corpora), but "
            f"{often!r} is in {most} of the {total} and {seldom!r} in {least}: {shared} of the "
            f"{len(counts)} ids are in all of them. Streams share at least half."
        )


def _check_same_sentences(first: Stream, other: Stream, *, ids: Sequence[str], number: int) -> None:
    """Refuse equal ids with different sentences, languages or tasks."""
    for id in ids:
        # Two corpora may use the same ids for different clips.
        one, two = first.about(id), other.about(id)
        if (one.text, one.language) != (two.text, two.language):
            raise CacheError(
                f"Streams of one clip must have one sentence, but {id!r} has {one.text!r} ({one.language}) "
                f"in stream 1 and {two.text!r} ({two.language}) in stream {number}."
            )
        if one.task != two.task:
            raise CacheError(
                f"Streams of one clip must have one task, but {id!r} has {one.task} in stream 1 and "
                f"{two.task} in stream {number}."
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
