"""Conversion of SIGTERM and SIGINT to an exception, so that commands can finish all files."""

import os
import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType
from typing import NoReturn

SIGNALS = (signal.SIGTERM, signal.SIGINT)


class Interrupted(SystemExit):
    """A signal to end the process. The exit code is the shell's: 143 for SIGTERM, 130 for SIGINT."""

    def __init__(self, signum: int) -> None:
        """Make an exit with code 128 + ``signum``."""
        super().__init__(128 + signum)
        self.signal = signal.Signals(signum)


@contextmanager
def interrupted_by_signals() -> Iterator[None]:
    """Raise :class:`Interrupted` inside this block on SIGTERM or SIGINT.

    After the first signal, further signals are ignored until the end of the block, so that they cannot
    interrupt the handling of the exception. A signal that is ignored already, for example by nohup, stays
    ignored. Outside the main thread the block changes nothing, since Python delivers signals to the main
    thread only.
    """
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    before = {number: signal.getsignal(number) for number in SIGNALS}
    # None is a handler that was not set by Python, which cannot be set again.
    before = {number: handler for number, handler in before.items() if handler not in (signal.SIG_IGN, None)}

    def stop(signum: int, _: FrameType | None) -> NoReturn:
        for number in before:
            signal.signal(number, signal.SIG_IGN)
        raise Interrupted(signum)

    for number in before:
        signal.signal(number, stop)
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def end_quietly() -> None:
    """Make this worker process end silently, with exit code 0, on SIGTERM or SIGINT.

    Schedulers send signals to all processes of a job. The main process prints the message.
    """
    for number in SIGNALS:
        signal.signal(number, lambda *_: os._exit(0))
