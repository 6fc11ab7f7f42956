"""Standard output and standard error that accept every character, also when closed or broken."""

import os
import sys
from typing import TextIO


def prepare_streams() -> None:
    r"""Open closed standard streams, and replace characters outside the encoding by escapes.

    For example, ``\u5929`` stands for a Chinese character on a stream in cp1252.
    """
    for descriptor in (0, 1, 2):
        _occupy(descriptor)
    sys.stdout, sys.stderr = sys.stdout or _null(1), sys.stderr or _null(2)
    for stream in (sys.stdout, sys.stderr):
        stream.reconfigure(errors="backslashreplace")  # type: ignore[union-attr]  # both are TextIOWrapper


def print_line(line: str) -> None:
    """Print a line on standard error. After the first failed write, discard all further lines."""
    try:
        print(line, file=sys.stderr, flush=True)
    except OSError:  # the reader of "2>&1 | head" has ended, or a disk is full: the work goes before its log
        null = os.open(os.devnull, os.O_WRONLY)
        os.dup2(null, 2)
        os.close(null)


def _occupy(descriptor: int) -> None:
    """Open the null device under a closed descriptor."""
    try:
        os.fstat(descriptor)
    except OSError:
        # Otherwise the next opened file gets this number, and FFmpeg's messages are written into that file.
        null = os.open(os.devnull, os.O_RDWR)
        if null != descriptor:
            os.dup2(null, descriptor)
            os.close(null)


def _null(descriptor: int) -> TextIO:
    return open(descriptor, "w", encoding="utf-8", closefd=False)  # noqa: SIM115  # open as long as the process
