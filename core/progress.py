"""Progress on standard error: a bar at a terminal, one line per tenth in a log file."""

import math
import sys
from collections.abc import Iterable, Sized
from typing import Any

from tqdm import tqdm

_LINE = "{desc}: {n_fmt}/{total_fmt} {unit} [{elapsed}<{remaining}, {rate_fmt}{postfix}]"
_LINES_PER_JOB = 10


class _Lines(tqdm):
    """The same figures as a bar, each on its own line: readable in a scheduler's log."""

    def display(self, msg: str | None = None, pos: int | None = None) -> None:
        """Print the figures as a line."""
        print(msg or str(self), file=self.fp, flush=True)

    def close(self) -> None:
        """Print the last figures, once; a bar would also end its line."""
        if not self.disable and self.n != self.last_print_n:
            self.display()
        self.disable = True


def progress(
    iterable: Iterable[Any] | None = None, *, desc: str, total: int | None = None, unit: str = "it"
) -> Any:
    """Wrap ``iterable`` (or count by ``update``) with progress on standard error."""
    if total is None and isinstance(iterable, Sized):
        total = len(iterable)
    if sys.stderr.isatty():
        return tqdm(iterable, desc=desc, total=total, unit=unit, file=sys.stderr)
    every = max(1, math.ceil((total or 1000) / _LINES_PER_JOB))
    pace = {"miniters": every, "mininterval": 0, "maxinterval": math.inf}
    return _Lines(iterable, desc=desc, total=total, unit=unit, file=sys.stderr, bar_format=_LINE, **pace)


def say(message: str) -> None:
    """Print a line on standard error without tearing a bar."""
    tqdm.write(message, file=sys.stderr)
