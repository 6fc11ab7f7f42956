"""Progress on standard error: a bar at a terminal, one line per tenth in a log file."""

import math
import sys
from collections.abc import Iterable, Sized
from threading import RLock
from typing import Any

from tqdm import tqdm

from .streams import print_line
from .text import printable

_LINE = "{desc}: {n_fmt}/{total_fmt} {unit} [{elapsed}<{remaining}, {rate_fmt}{postfix}]"
_LINES_PER_JOB = 10

# tqdm's own lock is shared with forked processes: one that is killed while it prints would hold it for ever.
tqdm.set_lock(RLock())


class _Lines(tqdm):
    """The same figures as a bar, each on its own line: readable in a scheduler's log."""

    def display(self, msg: str | None = None, pos: int | None = None) -> None:
        """Print the figures as a line."""
        print_line(msg or str(self))

    def close(self) -> None:
        """Print the last figures, once; a bar would also end its line."""
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
    """Wrap ``iterable`` (or count by ``update``) with progress on standard error.

    What an earlier run did is ``initial``: it is no part of the speed, nor of the time left.
    """
    if total is None and isinstance(iterable, Sized):
        total = len(iterable)
    desc = printable(desc)
    if sys.stderr.isatty():
        return tqdm(iterable, desc=desc, total=total, initial=initial, unit=unit, file=sys.stderr)
    every = max(1, math.ceil((total or 1000) / _LINES_PER_JOB))
    pace = {"miniters": every, "mininterval": 0, "maxinterval": math.inf}
    figures = {"total": total, "initial": initial, "unit": unit, "bar_format": _LINE}
    return _Lines(iterable, desc=desc, file=sys.stderr, **figures, **pace)


def say(message: str) -> None:
    """Print a message on standard error, control characters escaped, without tearing a bar."""
    if sys.stderr.isatty():
        tqdm.write(printable(message), file=sys.stderr)
    else:
        print_line(printable(message))
