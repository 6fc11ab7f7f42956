"""Clips on their way to the encoder: decoded ahead and handed over in order."""

import signal
from collections.abc import Iterator, Sequence
from types import TracebackType

import numpy as np

from ..core.errors import DataError
from ..training.workers import LOADER_ERRORS
from .clips import ClipDataset
from .decoders import Decoders, Lost
from .result import Extracted


class ClipStream:
    """The clips of a dataset, once, in order; those that cannot be read are kept aside.

    ::

        with ClipStream(clips, ids=ids, workers=8, result=result) as stream:
            for index, frames in stream.frames():
                ...
    """

    def __init__(self, clips: ClipDataset, *, ids: Sequence[str], workers: int, result: Extracted) -> None:
        """Prepare to decode.

        Args:
            clips: what to decode.
            ids: what the clips are called.
            workers: processes that do it; 0: none but this one.
            result: where the time spent waiting is added.
        """
        self.rejected: list[str] = []
        """Why clips cannot be read, in order; the encoder may still be busy with clips before them."""
        self._ids = ids
        self._result = result
        self._decoders = Decoders(clips, count=workers)

    def frames(self) -> Iterator[tuple[int, np.ndarray]]:
        """Yield clips' numbers and frames."""
        items = iter(self._decoders)
        while True:
            with self._result.timed("decode"):
                item = next(items, None)
            if item is None:
                return
            index, frames = item
            if isinstance(frames, str):
                self.rejected.append(frames)
            else:
                yield index, frames

    def __enter__(self) -> "ClipStream":
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """End the processes.

        Raises:
            DataError: one of them died; it names the clip.
        """
        lost = self._decoders.lost()
        self._decoders.end()
        # torch finds out wherever this process happens to be, and says no more than that a process died.
        if lost and isinstance(error, RuntimeError) and str(error).startswith(LOADER_ERRORS):
            raise DataError(self._epitaph(lost)) from error

    def _epitaph(self, lost: Sequence[Lost]) -> str:
        lost = [worker for worker in lost if worker.exitcode] or lost  # the others were told to end
        code = lost[0].exitcode
        how = f"exit code {code}" if code >= 0 else signal.Signals(-code).name
        read = ", ".join(repr(self._ids[worker.index]) for worker in lost if worker.index is not None)
        when = f"while it read {read}, or just after" if read else "before it read a clip"
        return (
            f"Processes that decode must live to the end, but one ended by {how} {when}.\n"
            "What is done is kept: run the same command again. If it ends here again, --set workers=0 tells "
            "whether it is this clip; then remove it from the manifest. SIGKILL often means that memory ran "
            "out: take fewer workers."
        )
