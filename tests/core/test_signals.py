"""Signals that ask for the end become an exception, once."""

import os
import signal

import pytest

from fla_llm.core.signals import Interrupted, interrupted_by_signals

pytestmark = pytest.mark.usefixtures("as_in_a_terminal")


def test_an_ignored_signal_stays_ignored() -> None:
    before = signal.signal(signal.SIGINT, signal.SIG_IGN)
    try:
        with interrupted_by_signals():
            os.kill(os.getpid(), signal.SIGINT)
        assert signal.getsignal(signal.SIGINT) == signal.SIG_IGN
    finally:
        signal.signal(signal.SIGINT, before)


def test_a_second_signal_does_not_disturb_the_end() -> None:
    def work() -> None:
        with interrupted_by_signals():
            try:
                os.kill(os.getpid(), signal.SIGTERM)
            finally:
                os.kill(os.getpid(), signal.SIGINT)

    with pytest.raises(Interrupted, match="143"):
        work()


@pytest.mark.parametrize("inner", [signal.SIGTERM, signal.SIGINT])
def test_blocks_may_stand_in_one_another(inner: signal.Signals) -> None:
    """``fla`` has one around every command, and commands have their own."""
    with pytest.raises(Interrupted) as stopped, interrupted_by_signals(), interrupted_by_signals():
        os.kill(os.getpid(), inner)
    assert stopped.value.code == 128 + inner
