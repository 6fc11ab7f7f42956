"""What a corpus file gives before any video is looked at: its annotation rows, some refused on reading."""

import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol, TypeVar

from ..core.sample import SPLITS, Split


class HasSplit(Protocol):
    """Anything that lies in a split: a row, a sample."""

    @property
    def split(self) -> str:
        """The split's name."""
        ...


S = TypeVar("S", bound=HasSplit)


@dataclass(frozen=True, kw_only=True)
class Rejected:
    """An annotation row that gives no sample, and why."""

    id: str
    split: str
    """``train``, ``dev``, ``test``, or what the file says where that is no split."""
    reason: str
    """A few words, the same for all rows of one kind."""
    detail: str = ""
    """What was found for this very row: paths tried, times, the decoder's message."""
    fault: bool = True
    """Whether something is wrong here; False for gaps that the corpus's publishers know of."""


@dataclass(frozen=True, kw_only=True)
class Row:
    """One annotated sentence, its video not yet looked at."""

    id: str
    split: Split
    text: str
    language: str
    places: tuple[str, ...]
    """Where the video may lie, relative to the release's root, the first one found counting."""
    fps: float | None = None
    """Frame rate of a folder of frames, which cannot say it itself."""
    signer: str | None = None
    start_seconds: float | None = None
    end_seconds: float | None = None
    missing_list: str | None = None
    """The published list that says this video was never released."""

    def reject(self, reason: str, detail: str = "", *, fault: bool = True) -> Rejected:
        """Return why this row gives no sample."""
        return Rejected(id=self.id, split=self.split, reason=reason, detail=detail, fault=fault)


@dataclass(frozen=True, kw_only=True)
class Release:
    """A corpus as annotated."""

    root: Path
    """The folder that ``Row.places`` are relative to."""
    rows: tuple[Row | Rejected, ...]
    """All rows of its files in their order; some are refused on reading, such as one in no split."""
    annotated: tuple[Split, ...]
    """The splits that have an annotation, with rows or without."""
    is_published: bool = True
    """Whether the annotations are as published: then an empty sentence is not the user's to mend."""
    official: Mapping[Split, int] | None = None
    """Clips per split as the corpus's papers count them."""
    notes: tuple[str, ...] = ()


def first_of_each_split(items: Iterable[S], limit: int | None) -> list[S]:
    """Return the first ``limit`` items of each split, in their order; all without a limit."""
    seen: dict[str, int] = {}
    kept: list[S] = []
    for item in items:
        seen[item.split] = seen.get(item.split, 0) + 1
        if limit is None or seen[item.split] <= limit:
            kept.append(item)
    return kept


def count_splits(items: Iterable[HasSplit]) -> dict[Split, int]:
    """Return how many items lie in each of the three splits."""
    names = [item.split for item in items]
    return {split: names.count(split) for split in SPLITS}


def parse_times(start: str, end: str) -> tuple[float | None, float | None] | None:
    """Return where a clip begins and ends in its video, in seconds; None where the texts make no such clip.

    >>> parse_times("1.5", "")
    (1.5, None)
    >>> parse_times("3", "2") is None
    True
    """
    try:
        first = float(start) if start else None
        last = float(end) if end else None
    except ValueError:
        return None
    begin, finish = first or 0.0, math.inf if last is None else last
    is_clip = math.isfinite(begin) and 0 <= begin < finish and (last is None or math.isfinite(last))
    return (first, last) if is_clip else None
