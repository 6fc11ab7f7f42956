"""Worker processes of a DataLoader: each item or its error reaches the main process.

Python's queue drops an item that cannot be sent. The main process would then wait for that item for ever.
"""

import os
import sys
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from multiprocessing import active_children
from multiprocessing.queues import Queue
from types import TracebackType
from typing import Any, NoReturn, TypeVar, cast

from torch._utils import ExceptionWrapper
from torch.utils.data import get_worker_info

from ..core.errors import DataError, FlaError

T = TypeVar("T")
SOCKET_PATH_LENGTH = 103
"""Maximum length of a Unix socket's path on macOS. Linux allows 107 characters."""
LOADER_ERRORS = ("DataLoader worker", "Pin memory thread", "Too many open files")
"""First words of torch's errors for worker processes that ended or do not answer."""
_SOCKET_NAME = "/pymp-xxxxxxxx/listener-xxxxxxxx"
"""The path that multiprocessing appends to the folder for temporary files."""
_SHORT_FOLDERS = ("/tmp", "/var/tmp", "/dev/shm")


class FailedItem(ExceptionWrapper):
    """Error in place of an item. The loader raises the error in the main process."""

    def __init__(self, error: Exception) -> None:
        """Keep ``error``, which must survive pickling."""
        self.error = error

    def reraise(self) -> NoReturn:
        """Raise the error: DataLoader calls this for every ExceptionWrapper."""
        raise self.error


def prepare_item(make: Callable[[], T]) -> T:
    """Return ``make()``. In a worker process, an error of the user's data becomes a :class:`FailedItem`.

    The loader raises that error before any item is handed on. DataLoader's own way would put the worker's
    traceback into the sentence.
    """
    if get_worker_info() is None:
        return make()
    prepare_worker()
    try:
        return make()
    except FlaError as error:
        return cast("T", FailedItem(error))


def prepare_worker() -> None:
    """Make this worker process send a :class:`FailedItem` in place of an item that cannot be sent.

    Possible reasons: shared memory, memory or file handles are used up, or an object or an exception cannot
    be pickled. Repeated calls do nothing.
    """
    # concurrent.futures uses this hook of the standard library too. The default prints and goes on.
    Queue._on_queue_feeder_error = _send_reason  # type: ignore[method-assign, assignment]
    sys.excepthook = _print_but_broken_transfers
    # Tensors travel as file handles through a Unix socket. Python < 3.14 does not shorten its path.
    if len(tempfile.gettempdir() + _SOCKET_NAME) > SOCKET_PATH_LENGTH:
        tempfile.tempdir = next((name for name in _SHORT_FOLDERS if os.access(name, os.W_OK)), None)


@contextmanager
def worker_errors(*, remedy: str) -> Iterator[None]:
    """Turn torch's error of a dead worker process into an error with a remedy.

    Args:
        remedy: the way to continue the work of this block.

    Raises:
        DataError: a worker process ended early.
    """
    try:
        yield
    except RuntimeError as error:
        if not str(error).startswith(LOADER_ERRORS):
            raise
        reason = str(error).partition(". ")[0].strip().removesuffix(".")
        raise DataError(
            f"Worker processes must live to the end, but one did not: {reason}.\n{remedy}\n"
            "A killed process often means that memory ran out: use fewer workers."
        ) from error


@contextmanager
def no_worker_left() -> Iterator[None]:
    """End the worker processes that this block started and did not end itself.

    An iterator of a loader ends its workers when Python collects it. The traceback of an exception, such as
    :class:`~fla_llm.core.signals.Interrupted`, keeps the iterator alive for longer.
    """
    before = set(active_children())
    try:
        yield
    finally:
        # Workers of a loader are daemons. Other children belong to the code that started them.
        left = [child for child in active_children() if child.daemon and child not in before]
        for child in left:
            child.terminate()
        for child in left:
            child.join()


def _print_but_broken_transfers(
    kind: type[BaseException], error: BaseException, traceback: TracebackType | None
) -> None:
    """Print an error of a thread, unless the main process has ended in the middle of a transfer.

    The thread that hands tensors over prints each of its errors here. The main process reports its own end.
    """
    if not isinstance(error, (ConnectionError, EOFError)):
        sys.__excepthook__(kind, error, traceback)


def _send_reason(queue: "Queue[Any]", error: Exception, item: tuple[int, Any]) -> None:
    index, content = item
    if isinstance(content, FailedItem):
        os._exit(1)  # not even an error can be sent; the main process notices the end
    if isinstance(content, ExceptionWrapper):  # a fault of the code, of a class that cannot be pickled
        queue.put((index, FailedItem(RuntimeError(content.exc_msg))))
        return
    reason = DataError(
        f"What a worker process has prepared must reach the main process, but cannot be sent: {error!r}.\n"
        "Shared memory (df /dev/shm), memory or file handles (ulimit -n) may be used up. Fewer workers need "
        "less. Without workers (workers=0) nothing is sent."
    )
    queue.put((index, FailedItem(reason)))
