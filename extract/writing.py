"""Writing in a thread of its own, so that the encoder never waits for a disk."""

from queue import Queue
from threading import Thread
from types import TracebackType

import numpy as np

from ..cache.format import CacheRow
from ..cache.writer import ShardWriter
from .result import Extracted

_CLIPS_WAITING = 16
"""Clips that may wait for the disk; a kill loses them, and they are encoded anew."""


class WriterThread:
    """Hands rows to a shard's writer, which appends them in that order while the caller goes on.

    ::

        with WriterThread(writer, result=result) as thread:
            thread.append(features)
            thread.reject("its file is damaged")
    """

    def __init__(self, writer: ShardWriter, *, result: Extracted) -> None:
        """Take over ``writer`` until the block is left; time spent waiting for it is added to ``result``."""
        self._writer = writer
        self._result = result
        self._rows = writer.pending
        self._num_given = 0
        self._error: BaseException | None = None
        self._queue: Queue[tuple[CacheRow, np.ndarray | str] | None] = Queue(_CLIPS_WAITING)
        self._thread = Thread(target=self._write, name="write", daemon=True)

    @property
    def next_row(self) -> CacheRow | None:
        """The row that is to be handed over next, or None when all are."""
        return self._rows[self._num_given] if self._num_given < len(self._rows) else None

    def append(self, features: np.ndarray) -> None:
        """Hand over the features (T, D) float16 of the next row.

        Raises:
            BaseException: what writing an earlier row raised.
        """
        self._give(features)

    def reject(self, reason: str) -> None:
        """Say that the video of the next row cannot be read.

        Raises:
            BaseException: what writing an earlier row raised.
        """
        self._give(reason)

    def __enter__(self) -> "WriterThread":
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Wait until everything handed over is written, whatever ended the block."""
        if self._num_given:
            with self._result.timed("write"):
                self._queue.put(None)
                self._thread.join()
        if error is None:
            self._raise()

    def _give(self, content: np.ndarray | str) -> None:
        self._raise()
        row = self._rows[self._num_given]
        if not self._num_given:
            self._thread.start()  # not before: processes forked beside a thread may inherit a lock it holds
        self._num_given += 1
        with self._result.timed("write"):
            self._queue.put((row, content))

    def _raise(self) -> None:
        if self._error is not None:
            raise self._error

    def _write(self) -> None:
        while (item := self._queue.get()) is not None:
            if self._error is None:  # behind a row that failed, none counts
                self._write_row(*item)

    def _write_row(self, row: CacheRow, content: np.ndarray | str) -> None:
        try:
            if isinstance(content, str):
                self._writer.reject(row, content)
            else:
                self._writer.append(row, content)
        except BaseException as error:  # raised again where the rows come from
            self._error = error
