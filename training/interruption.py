"""Report of an interrupted training: the files that are kept, and the command to continue."""

import logging
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from transformers import TrainerState

from ..core.signals import Interrupted, interrupted_by_signals
from .checkpoints import STATE, last_checkpoint
from .processes import is_main_process

logger = logging.getLogger(__name__)


@contextmanager
def report_interruption(run: Path) -> Iterator[None]:
    """Turn SIGINT and SIGTERM inside this block into :class:`Interrupted`, and print the state of ``run``.

    Raises:
        Interrupted: a signal arrived. The process ends with code 130 or 143.
    """
    with interrupted_by_signals():
        try:
            yield
        except Interrupted as stopped:
            if is_main_process():
                logger.warning(f"Ended by {stopped.signal.name}: {_what_is_kept(run)}")
            raise


def _what_is_kept(run: Path) -> str:
    if not (run.is_dir() and any(run.iterdir())):
        return f"nothing was written to {run} yet.\nRun the same command again."
    last = last_checkpoint(run / "checkpoints")
    if last is None:
        return f"{run} has no checkpoint yet.\nRun the same command again with --resume: it starts again."
    state = TrainerState.load_from_json(str(last / STATE))
    return (
        f"the checkpoint of step {state.global_step} (epoch {state.epoch:.2f}) in {run} is kept.\n"
        "Run the same command again with --resume: it continues from this step."
    )
