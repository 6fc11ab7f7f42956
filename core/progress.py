"""Progress on standard error: a bar in a terminal, ten lines in a log file."""

import math
import sys
from collections.abc import Iterable, Sized
from threading import RLock
from typing import Any

from tqdm import tqdm

from .logs import is_quiet
from .streams import print_line
from .text import printable

_LINE = "{desc}: {n_fmt}/{total_fmt} {unit} [{elapsed}<{remaining}, {rate_fmt}{postfix}]"
_LINES_PER_JOB = 10

# Forked processes share tqdm's own lock: a process killed while printing would hold the lock for ever.
tqdm.set_lock(RLock())


class _Lines(tqdm):
    """A progress bar for log files. Each state is printed on a new line."""

    def display(self, msg: str | None = None, pos: int | None = None) -> None:
        """Print the current state as a line."""
        print_line(msg or str(self))

    def close(self) -> None:
        """Print the last state, unless the last line shows the last state already."""
        if not self.disable and self.n != self.last_print_n:
            self.display()
        self.disable = True


def progress(
    iterable: Iterable[Any] | None = None,
    *,
    desc: str,
    total: int | None = None,
    initial: int = 0,
    unit: str = "it",
) -> Any:
    """Show progress on standard error while ``iterable`` is read, or while ``update`` is called.

    With ``--quiet`` nothing is shown.

    Args:
        iterable: items to read. None: the caller counts with ``update``.
        desc: text before the counts.
        total: number of items, where ``iterable`` has no length.
        initial: items that an earlier run finished. Speed and remaining time do not count them.
        unit: name of an item.
    """
    if total is None and isinstance(iterable, Sized):
        total = len(iterable)
    desc = printable(desc)
    if is_quiet() or sys.stderr.isatty():
        figures = {"total": total, "initial": initial, "unit": unit}
        return tqdm(iterable, desc=desc, file=sys.stderr, disable=is_quiet(), **figures)
    every = max(1, math.ceil((total or 1000) / _LINES_PER_JOB))
    pace = {"miniters": every, "mininterval": 0, "maxinterval": math.inf}
    figures = {"total": total, "initial": initial, "unit": unit, "bar_format": _LINE}
    return _Lines(iterable, desc=desc, file=sys.stderr, **figures, **pace)
