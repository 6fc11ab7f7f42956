"""A signal that asks for the end of the process becomes an exception, so that everything is put in order."""

import os
import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType
from typing import NoReturn

SIGNALS = (signal.SIGTERM, signal.SIGINT)


class Stopped(SystemExit):
    """A signal asked for the end; unless it is caught, the process ends with the code shells expect of it.

    128 + the signal's number: 143 for SIGTERM, 130 for SIGINT.
    """

    def __init__(self, signum: int) -> None:
        """End because of signal ``signum``."""
        super().__init__(128 + signum)
        self.signal = signal.Signals(signum)


@contextmanager
def stopped_by_signals() -> Iterator[None]:
    """Raise :class:`Stopped` inside this block when SIGTERM or SIGINT comes.

    The first is enough: later ones are ignored until the block is left, so that they do not disturb what puts
    things in order. A signal that is ignored already (by nohup, say) stays ignored. Outside the
    main thread, where Python delivers no signals, nothing is done.
    """
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    before = {number: signal.getsignal(number) for number in SIGNALS}
    before = {number: handler for number, handler in before.items() if handler not in (signal.SIG_IGN, None)}

    def stop(signum: int, _: FrameType | None) -> NoReturn:
        for number in before:
            signal.signal(number, signal.SIG_IGN)
        raise Stopped(signum)

    for number in before:
        signal.signal(number, stop)
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def end_quietly() -> None:
    """Make this worker process end without a word when the signals come.

    Signals often go to all processes of a job. The main process says what there is to say, and takes an exit
    with code 0 for no fault.
    """
    for number in SIGNALS:
        signal.signal(number, lambda *_: os._exit(0))
