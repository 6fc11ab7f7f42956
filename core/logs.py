"""Log messages of the package on standard error, in the form of the command line.

Every module logs through the standard :mod:`logging`. A program that imports the package configures its own
handlers. Only the command ``fla`` calls :func:`configure_logging`.
"""

import logging
import sys
from collections.abc import Callable
from typing import Any

from tqdm import tqdm

from .streams import print_line
from .text import printable

PACKAGE = logging.getLogger(__name__.partition(".")[0])
"""Parent of the loggers of all modules."""


class ConsoleHandler(logging.Handler):
    """Log handler for standard error. Control characters are escaped, and a progress bar is not torn."""

    def emit(self, record: logging.LogRecord) -> None:
        """Print a message."""
        # After formatting: a traceback may hold control characters too.
        line = printable(self.format(record))
        # The stream is looked up for each message: an extraction replaces sys.stderr in its processes.
        if sys.stderr.isatty():
            tqdm.write(line, file=sys.stderr)
        else:
            print_line(line)


def configure_logging(level: int = logging.INFO) -> None:
    """Print the package's messages of at least ``level`` on standard error.

    With DEBUG, each message names its module.
    """
    handler = ConsoleHandler()
    if level <= logging.DEBUG:
        handler.setFormatter(logging.Formatter("%(name)s: %(message)s"))
    # Assigned and not added: a second call must not print each message twice.
    PACKAGE.handlers = [handler]
    PACKAGE.setLevel(level)
    # A library that configures the root logger would print each message a second time.
    PACKAGE.propagate = False


def console_level() -> int | None:
    """Return the level of :func:`configure_logging`, or None where the program has its own handlers."""
    return PACKAGE.level if any(isinstance(one, ConsoleHandler) for one in PACKAGE.handlers) else None


def is_quiet() -> bool:
    """Return whether progress bars are hidden: the package's level is WARNING or above."""
    # Not the effective level: a program without any configuration has WARNING there, and wants its bars.
    return PACKAGE.level >= logging.WARNING


def call_with_logging(level: int | None, work: Callable[..., Any], *args: Any, **settings: Any) -> Any:
    """Call ``work`` in a new process that logs as its parent does.

    Args:
        level: :func:`console_level` of the parent.
        work: function to call.
        args: its arguments.
        settings: its keyword arguments.
    """
    # A spawned process starts without the handlers of its parent.
    if level is not None:
        configure_logging(level)
    return work(*args, **settings)
