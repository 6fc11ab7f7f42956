"""What an extraction did, and where its time went."""

import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

Work = Literal["decode", "encode", "write"]

_ADVICE: dict[Work, str] = {
    "decode": "Most of the time went into waiting for decoded clips: more cores would help.",
    "encode": "Most of the time went into the encoder: a faster device would help: a GPU, or more cores.",
    "write": "Most of the time went into waiting for the disk: a faster one would help.",
}


@dataclass(frozen=True, kw_only=True)
class Rejected:
    """A video that could not be read."""

    split: str
    id: str
    reason: str


@dataclass(kw_only=True)
class Extracted:
    """What an extraction did; it grows while the extraction runs."""

    shards: list[Path] = field(default_factory=list)
    """All shards asked for, written now or earlier."""
    skipped: list[Path] = field(default_factory=list)
    """Those of them that were finished earlier."""
    rejected: list[Rejected] = field(default_factory=list)
    """The videos that could not be read and are not in the shards."""
    clips: int = 0
    """Clips encoded now."""
    frames: int = 0
    """Frames encoded now."""
    spent: dict[Work, float] = field(default_factory=lambda: {"decode": 0.0, "encode": 0.0, "write": 0.0})
    """Seconds spent waiting for decoded clips, in the encoder, and waiting for what is written."""

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
        """What part of the time each kind of work took; 0 where there was nothing to do."""
        return {work: seconds / self.seconds if self.seconds else 0.0 for work, seconds in self.spent.items()}

    @property
    def advice(self) -> str:
        """What would make it faster; empty where there was nothing to do."""
        return _ADVICE[max(self.spent, key=self.spent.__getitem__)] if self.frames else ""

    @contextmanager
    def timed(self, work: Work, *, without: Work | None = None) -> Iterator[None]:
        """Add the time of this block to ``work``, less what was added to ``without`` meanwhile."""
        begin, other = time.perf_counter(), self.spent[without] if without else 0.0
        try:
            yield
        finally:
            inner = self.spent[without] - other if without else 0.0
            self.spent[work] += time.perf_counter() - begin - inner

    def to_dict(self) -> dict[str, Any]:
        """Return the result as JSON can hold it."""
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
