"""Speed of a training between two rows of the log, and the share of time that waits for data."""

import logging
import time
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager

from .processes import gather_all, is_main_process

logger = logging.getLogger(__name__)

LONG_WAIT = 60.0
"""Seconds. A training that waited less is too short for advice: its worker processes were starting."""


class Pace:
    """Stopwatch of a training. Evaluations and checkpoints do not count."""

    def __init__(self, remedy: str, *, clock: Callable[[], float] = time.monotonic) -> None:
        """Start at the first :meth:`waiting`.

        Args:
            remedy: settings that shorten the waiting, for advice in the log.
            clock: returns seconds.
        """
        self._remedy, self._clock = remedy, clock
        self._is_advised, self._total, self._total_waited = False, 0.0, 0.0
        self._counts: Counter[str] = Counter()
        self._began: float | None = None
        self._waited = self._paused = 0.0

    @contextmanager
    def waiting(self) -> Iterator[None]:
        """Count the time of this block as waiting for data."""
        start = self._clock()
        if self._began is None:
            self._began = start
        yield
        self._waited += self._clock() - start

    @contextmanager
    def paused(self) -> Iterator[None]:
        """Leave out the time of this block, unless :meth:`row` ends the period inside the block."""
        start = self._clock()
        yield
        if self._began is not None:
            self._paused += self._clock() - start

    def count(self, work: Mapping[str, int]) -> None:
        """Add work, such as ``{"clips": 8}``."""
        self._counts.update(work)

    def row(self) -> dict[str, float]:
        """Return the speed of all processes since the last row, and begin again.

        Every process must call this method. ``<work>_per_second`` sums the work of the processes.
        ``waiting_share`` is the mean over the processes.
        """
        seconds = self._clock() - (self._began or 0.0) - self._paused
        own = (dict(self._counts), seconds, self._waited / seconds if seconds > 0 else 0.0)
        found = gather_all([own])
        total = sum((Counter(counts) for counts, _, _ in found), Counter[str]())
        longest = max(seconds for _, seconds, _ in found)
        self._counts.clear()
        self._began, self._waited, self._paused = None, 0.0, 0.0
        rates = {
            f"{work}_per_second": count / longest for work, count in sorted(total.items()) if longest > 0
        }
        waiting = sum(share for _, _, share in found) / len(found)
        self._advise(longest, waiting)
        return rates | {"waiting_share": waiting}

    def _advise(self, seconds: float, share: float) -> None:
        """Say once how to wait less, after a long wait of more than half of the time."""
        self._total += seconds
        self._total_waited += seconds * share
        if not self._is_advised and self._total_waited > max(LONG_WAIT, self._total / 2):
            self._is_advised = True
            if is_main_process():
                waited = self._total_waited / self._total
                logger.info(f"The training waits for batches {waited:.0%} of the time. {self._remedy}")
