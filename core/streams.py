"""Standard output and standard error of the command line, in whatever state the caller left them."""

import os
import sys
from typing import TextIO


def prepare_streams() -> None:
    r"""Open the standard streams that are closed, and let both outputs write every character.

    A character that a stream's encoding lacks is written as an escape, such as ``\u5929``.
    """
    for descriptor in (0, 1, 2):
        _occupy(descriptor)
    sys.stdout, sys.stderr = sys.stdout or _null(1), sys.stderr or _null(2)
    for stream in (sys.stdout, sys.stderr):
        stream.reconfigure(errors="backslashreplace")  # type: ignore[union-attr]  # both are TextIOWrapper


def print_line(line: str) -> None:
    """Print a line on standard error. Once standard error cannot be written, print nothing from then on."""
    try:
        print(line, file=sys.stderr, flush=True)
    except OSError:  # the reader of "2>&1 | head" has ended, or a disk is full: the work goes before its log
        null = os.open(os.devnull, os.O_WRONLY)
        os.dup2(null, 2)
        os.close(null)


def _occupy(descriptor: int) -> None:
    """Open the null device under a descriptor that is closed."""
    try:
        os.fstat(descriptor)
    except OSError:
        # Left free, the number would go to the next file opened, and all that FFmpeg prints into that file.
        null = os.open(os.devnull, os.O_RDWR)
        if null != descriptor:
            os.dup2(null, descriptor)
            os.close(null)


def _null(descriptor: int) -> TextIO:
    return open(descriptor, "w", encoding="utf-8", closefd=False)  # noqa: SIM115  # open as long as the process
