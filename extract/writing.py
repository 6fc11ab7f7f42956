"""Writing of rows in a separate thread: the encoder does not wait for a disk."""

import logging
from queue import Queue
from threading import Thread
from types import TracebackType

import numpy as np

from ..cache.format import CacheRow
from ..cache.writer import ShardWriter
from ..core.progress import progress
from .result import Extracted

logger = logging.getLogger(__name__)

_CLIPS_WAITING = 16
"""Largest number of clips waiting for the disk. A kill loses these clips."""


class WriterThread:
    """Writes the pending rows of a shard in the planned order, in a thread, and shows the progress.

    ::

        with WriterThread(writer, result=result) as output:
            output.put(1, "its file is damaged")
            output.put(0, features)
    """

    def __init__(self, writer: ShardWriter, *, result: Extracted) -> None:
        """Take over ``writer`` until the block ends; add the counts and the time spent to ``result``."""
        self._writer, self._result = writer, result
        self._rows = writer.pending
        self._num_written = 0
        self._early: dict[int, np.ndarray | str] = {}  # contents of rows whose predecessors are missing
        self._error: BaseException | None = None
        # Bounded: features must not pile up in memory when the disk is slower than the encoder.
        self._queue: Queue[tuple[CacheRow, np.ndarray | str] | None] = Queue(_CLIPS_WAITING)
        self._thread = Thread(target=self._write, name="write", daemon=True)
        self._bar = progress(
            desc=f"extract {writer.path.stem}", total=writer.num_rows, initial=writer.num_written, unit="clip"
        )

    def put(self, number: int, content: np.ndarray | str) -> None:
        """Write a row. The row waits until all rows before it are here.

        Args:
            number: number of the row among the pending rows.
            content: features (T, D) float16 of the row, or the reason why its video cannot be read.

        Raises:
            BaseException: the error of writing an earlier row.
        """
        self._early[number] = content
        while self._num_written in self._early:
            if self._error is not None:
                raise self._error
            row, content = self._rows[self._num_written], self._early.pop(self._num_written)
            if not self._num_written:
                self._thread.start()  # not before: a process forked beside a thread may inherit a held lock
            self._num_written += 1
            with self._result.timed("write"):
                self._queue.put((row, content))
            self._count(row, content)

    def __enter__(self) -> "WriterThread":
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Wait until every row that was put is written, also after an error."""
        if self._num_written:  # else the thread was never started
            with self._result.timed("write"):
                self._queue.put(None)
                self._thread.join()
        self._bar.close()
        if error is None and self._error is not None:
            raise self._error

    def _count(self, row: CacheRow, content: np.ndarray | str) -> None:
        if not isinstance(content, str):
            self._result.clips += row.view == 0
            self._result.frames += len(content)
            self._bar.set_postfix_str(f"{self._result.frames_per_second:.0f} frames/s", refresh=False)
        elif row.view == 0:
            logger.warning(f"{row.id}: {content}")
        self._bar.update(1)

    def _write(self) -> None:
        while (item := self._queue.get()) is not None:
            row, content = item
            try:
                if self._error is not None:
                    continue  # no row counts behind one that failed
                if isinstance(content, str):
                    self._writer.reject(row, content)
                else:
                    self._writer.append(row, content)
            except BaseException as error:  # raised again in the thread that puts rows
                self._error = error
