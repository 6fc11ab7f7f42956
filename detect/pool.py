"""Detectors for several threads. A failed detector is replaced."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from queue import Empty, SimpleQueue

from ..core.errors import ConfigError
from .detector import Detector

MAX_FAILURES = 3
"""Number of failures in a row before the run ends. The cause is then the machine, and not a clip."""


class DetectorPool:
    """Detectors, started on demand and kept for the next clip."""

    def __init__(self, start: Callable[[], Detector]) -> None:
        """Start the first detector.

        Raises:
            ConfigError: the detector does not start.
        """
        self._start, self._failures, self._is_stopped = start, 0, False
        self._idle: SimpleQueue[Detector] = SimpleQueue()
        first = start()
        self._all, self.versions = [first], first.versions
        self._idle.put(first)

    @contextmanager
    def lend(self) -> Iterator[Detector]:
        """Yield a detector for this thread alone.

        Raises:
            ConfigError: the detector does not start, or several detectors failed one after the other.
        """
        detector = self._take()
        try:
            yield detector
        finally:
            # A clip that cannot be decoded leaves a detector that is as good as before.
            if detector.is_alive:
                self._failures = 0
                self._idle.put(detector)
            else:
                self._failures += 1

    def stop(self) -> None:
        """End all detectors. Waiting threads get an error at once."""
        self._is_stopped = True
        for detector in self._all:
            detector.kill()

    def close(self) -> None:
        """End all detectors and close the pipes, when no thread uses the pipes any more."""
        for detector in self._all:
            detector.close()

    def _take(self) -> Detector:
        if self._is_stopped or self._failures >= MAX_FAILURES:
            raise ConfigError(
                f"The detector failed at {self._failures} clips one after the other.\n"
                "Look at the messages above. The same command goes on with the clips that are left."
            )
        try:
            return self._idle.get_nowait()
        except Empty:
            detector = self._start()
            self._all.append(detector)
            return detector
