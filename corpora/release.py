"""Annotation rows of a corpus, before any video is opened."""

import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol, TypeVar

from ..core.sample import DEFAULT_TASK, SPLITS, Split, Task


class HasSplit(Protocol):
    """An object with a split: a row or a sample."""

    @property
    def split(self) -> str:
        """The split's name."""
        ...


S = TypeVar("S", bound=HasSplit)


@dataclass(frozen=True, kw_only=True)
class Rejected:
    """An annotation row without a sample, with the reason."""

    id: str
    split: str
    """``train``, ``dev``, ``test``, or the text of the file if that text is no split."""
    reason: str
    """Kind of the fault, in a few words."""
    detail: str = ""
    """Details of this row: paths tried, times, the decoder's message."""
    fault: bool = True
    """Whether the row is a fault. False: a gap that the publishers of the corpus list."""


@dataclass(frozen=True, kw_only=True)
class Row:
    """An annotated sentence, whose video is not opened yet."""

    id: str
    split: Split
    text: str
    language: str
    places: tuple[str, ...]
    """Candidate paths of the video, relative to the root of the release. The first existing path is used."""
    poses: str | None = None
    """Path of the pose file that the annotation names: relative to the root of the release, or absolute."""
    references: tuple[str, ...] = ()
    """Further correct sentences."""
    fps: float | None = None
    """Frame rate, for folders of frames and pose files."""
    signer: str | None = None
    start_seconds: float | None = None
    end_seconds: float | None = None
    missing_list: str | None = None
    """Published list of videos that were never released, if the list names this video."""
    task: Task = DEFAULT_TASK
    """Content of ``text``."""

    def reject(self, reason: str, detail: str = "", *, fault: bool = True) -> Rejected:
        """Return this row as rejected."""
        return Rejected(id=self.id, split=self.split, reason=reason, detail=detail, fault=fault)


@dataclass(frozen=True, kw_only=True)
class Release:
    """All annotation rows of a corpus."""

    root: Path
    """Folder for the relative paths ``Row.places``."""
    rows: tuple[Row | Rejected, ...]
    """All rows in the order of the annotation files, including rows that the reader rejected."""
    annotated: tuple[Split, ...]
    """Splits with an annotation file, with or without rows."""
    is_published: bool = True
    """Whether the annotations are published. Then an empty sentence is a known gap, not a fault."""
    official: Mapping[Split, int] | None = None
    """Clips per split, as published."""
    notes: tuple[str, ...] = ()


def first_of_each_split(items: Iterable[S], limit: int | None) -> list[S]:
    """Return the first ``limit`` items of each split in order, or all items without a limit."""
    seen: dict[str, int] = {}
    kept: list[S] = []
    for item in items:
        seen[item.split] = seen.get(item.split, 0) + 1
        if limit is None or seen[item.split] <= limit:
            kept.append(item)
    return kept


def count_splits(items: Iterable[HasSplit]) -> dict[Split, int]:
    """Return the number of items of each split."""
    names = [item.split for item in items]
    return {split: names.count(split) for split in SPLITS}


def parse_times(start: str, end: str) -> tuple[float | None, float | None] | None:
    """Return start and end of a clip in seconds, or None if the texts are not valid times.

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
    # A missing end means the end of the video, which no time can exceed.
    begin, finish = first or 0.0, math.inf if last is None else last
    is_clip = math.isfinite(begin) and 0 <= begin < finish and (last is None or math.isfinite(last))
    return (first, last) if is_clip else None
