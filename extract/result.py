"""Result of an extraction, with the time spent on each kind of work."""

import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import Any, Literal, TypeVar, cast

Work = Literal["decode", "encode", "write"]
T = TypeVar("T")
_END = object()

_ADVICE: dict[Work, str] = {
    "decode": "Most of the time went into waiting for decoded clips: more cores would help.",
    "encode": "Most of the time went into the encoder: a faster device would help: a GPU, or more cores.",
    "write": "Most of the time went into waiting for the disk: a faster one would help.",
}


@dataclass(frozen=True, kw_only=True)
class Rejected:
    """Unreadable video."""

    split: str
    id: str
    reason: str


@dataclass(kw_only=True)
class Extracted:
    """Result of an extraction, updated while the extraction runs."""

    shards: list[Path] = field(default_factory=list)
    """All requested shards, written now or earlier."""
    skipped: list[Path] = field(default_factory=list)
    """Shards of earlier runs."""
    rejected: list[Rejected] = field(default_factory=list)
    """Unreadable videos, left out of the shards."""
    clips: int = 0
    """Clips encoded now."""
    frames: int = 0
    """Frames encoded now."""
    spent: dict[Work, float] = field(default_factory=lambda: {"decode": 0.0, "encode": 0.0, "write": 0.0})
    """Seconds spent on waiting for decoded clips, in the encoder, and on waiting for the disk."""

    @property
    def seconds(self) -> float:
        """Seconds spent in all."""
        return sum(self.spent.values())

    @property
    def frames_per_second(self) -> float:
        """Frames encoded in a second; 0 where there was nothing to do."""
        return self.frames / self.seconds if self.frames else 0.0

    @property
    def shares(self) -> dict[Work, float]:
        """Part of the time spent on each kind of work; 0 where there was nothing to do."""
        return {work: seconds / self.seconds if self.seconds else 0.0 for work, seconds in self.spent.items()}

    @property
    def advice(self) -> str:
        """Advice for more speed; empty where there was nothing to do."""
        return _ADVICE[max(self.spent, key=self.spent.__getitem__)] if self.frames else ""

    @contextmanager
    def timed(self, work: Work) -> Iterator[None]:
        """Add the time of this block to ``work``."""
        begin = time.perf_counter()
        try:
            yield
        finally:
            self.spent[work] += time.perf_counter() - begin

    def timed_each(self, work: Work, items: Iterator[T]) -> Iterator[T]:
        """Yield items, and add the time spent on ``next`` to ``work``."""
        while True:
            with self.timed(work):
                item = next(items, _END)
            if item is _END:
                return
            yield cast("T", item)

    def add_rejected(self, split: str, reasons: Mapping[str, str]) -> None:
        """Add videos of a split, with the reason by id."""
        self.rejected += [Rejected(split=split, id=id_, reason=reason) for id_, reason in reasons.items()]

    def to_dict(self) -> dict[str, Any]:
        """Return the result as JSON values."""
        return {
            "shards": [str(path) for path in self.shards],
            "skipped": [str(path) for path in self.skipped],
            "rejected": [vars(rejected) for rejected in self.rejected],
            "clips": self.clips,
            "frames": self.frames,
            "seconds": self.seconds,
            "frames_per_second": self.frames_per_second,
            "shares": self.shares,
            "advice": self.advice,
        }

    def describe(self) -> str:
        """Return the result as lines for people."""
        lines = [f"{path}{' (finished earlier)' if path in self.skipped else ''}" for path in self.shards]
        shares = ", ".join(f"{work} {share:.0%}" for work, share in self.shares.items())
        lines.append(
            f"{self.clips} clips, {self.frames} frames in {self.seconds:.1f} s: "
            f"{self.frames_per_second:.1f} frames/s; time waiting to {shares}"
        )
        lines += [self.advice] if self.advice else []
        if self.rejected:
            lines.append(f"{len(self.rejected)} videos are left out:")
            lines += [f"  {video.split} {video.id}: {video.reason}" for video in self.rejected]
        return "\n".join(lines)


def merged(results: Sequence[Extracted], *, seconds: float | None = None) -> Extracted:
    """Return one result for several.

    Args:
        results: results of consecutive or parallel work.
        seconds: duration of parallel work; the time spent on each kind of work is scaled to this duration.
    """
    whole = Extracted()
    for field_ in fields(Extracted):
        parts = [getattr(result, field_.name) for result in results]
        if field_.name == "spent":
            whole.spent = {work: sum(part[work] for part in parts) for work in whole.spent}
        elif isinstance(getattr(whole, field_.name), list):
            setattr(whole, field_.name, [item for part in parts for item in part])
        else:
            setattr(whole, field_.name, sum(parts))
    # Side by side, the processes' seconds add up to more than have passed.
    if seconds is not None and whole.seconds:
        scale = seconds / whole.seconds
        whole.spent = {work: part * scale for work, part in whole.spent.items()}
    return whole
