"""Detector: a child process with frames as input and key points as output."""

import json
import struct
import subprocess
from collections import deque
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from threading import Thread, Timer
from typing import IO, Any, cast

import numpy as np

from ..core.errors import ConfigError, DataError

START_SECONDS = 120.0
"""Time for the start of the detector. A cold disk needs tens of seconds for the libraries."""
_LINE_BYTES = 4096
_SHOWN_LINES = 5
_PATIENCE_SECONDS = 2.0


class Detector:
    """Child process for the key points of frames, frame by frame.

    The protocol stands in ``worker.py``. The process ends with this object, and also when this
    process is killed, because its input ends then.

    Attributes:
        versions: packages of the child process, by name.
    """

    versions: dict[str, str]

    def __init__(
        self, command: Sequence[str], *, settings: dict[str, Any], num_points: int, timeout_seconds: float
    ) -> None:
        """Start the process, and wait until the libraries are loaded.

        Args:
            command: start command, without the settings.
            settings: settings of the process, as JSON values.
            num_points: number of points of a frame.
            timeout_seconds: longest time for a frame.

        Raises:
            ConfigError: the process cannot be started, refuses the settings, or ends before its first answer.
        """
        self._timeout, self._is_late, self._frames = timeout_seconds, False, 0
        self._num_points = num_points
        try:
            self._process = subprocess.Popen(
                [*command, json.dumps(settings)], stdin=subprocess.PIPE, stdout=subprocess.PIPE,
                stderr=subprocess.PIPE, bufsize=0,
                # Ctrl-C reaches this process alone, which then ends the detector.
                start_new_session=True,
            )  # fmt: skip
        except OSError as error:
            raise ConfigError(f"{command[0]} cannot be started: {error.strerror}.") from error
        self._input, self._output, errors = (
            cast("IO[bytes]", pipe)
            for pipe in (self._process.stdin, self._process.stdout, self._process.stderr)
        )
        self._last_lines: deque[bytes] = deque(maxlen=_SHOWN_LINES)
        # A full pipe of messages would stop the child.
        self._drain = Thread(target=_keep_last, args=(errors, self._last_lines), daemon=True)
        self._drain.start()
        self.versions = self._greet(command)

    @property
    def is_alive(self) -> bool:
        """Whether the process can answer further frames."""
        # A late process may still be dying.
        return self._process.poll() is None and not self._is_late

    def begin_clip(self) -> None:
        """Forget the frames before. The next frame is the first of a clip.

        Raises:
            DataError: the process has ended.
        """
        self._frames = 0
        with self._in_time(self._timeout):
            self._send(struct.pack("<II", 0, 0))

    def find(self, frame: np.ndarray) -> np.ndarray:
        """Return the key points of a frame.

        Args:
            frame: picture (H, W, 3), uint8, RGB.

        Returns:
            Points (P, 3), float32: x as a share of the width, y of the height, and the score.

        Raises:
            DataError: the process ends, or takes too long. The error has the number of the frame and the
                last lines of the process.
        """
        height, width, _ = frame.shape
        with self._in_time(self._timeout):
            self._send(struct.pack("<II", height, width))
            self._send(np.ascontiguousarray(frame).data)
            # The size is fixed: a library that printed between two answers would shift all that follow.
            answer = self._read(self._num_points * 3 * 4)
        self._frames += 1
        return np.frombuffer(answer, "<f4").reshape(self._num_points, 3)

    def kill(self) -> None:
        """End the process. A call of :meth:`find` in another thread then fails."""
        self._process.kill()

    def close(self) -> None:
        """End the process, and close the pipes."""
        self.kill()
        self._process.wait()
        # A process of the child may hold the pipe open.
        self._drain.join(timeout=_PATIENCE_SECONDS)
        for pipe in (self._input, self._output):
            pipe.close()

    def _greet(self, command: Sequence[str]) -> dict[str, str]:
        with self._in_time(START_SECONDS):
            # Bounded: a wrong program may write without an end of a line.
            line = self._output.readline(_LINE_BYTES)
        try:
            content = json.loads(line)
            # What a user can mend, such as a file of weights that is none.
            if "error" in content:
                self.close()
                raise ConfigError(str(content["error"]))
            return dict(content["versions"])
        except (ValueError, LookupError, TypeError) as error:
            raise ConfigError(
                f"The detector must start, but: {self._failure()}\n"
                f"The command was: {' '.join(command)}\n"
                "Make its environment again: fla poses --set-up, with the same --detector"
            ) from error

    def _send(self, data: Any) -> None:
        view = memoryview(data).cast("B")
        try:
            # One write to a pipe may take only a part.
            while view:
                view = view[cast("int", self._input.write(view)) :]
        except OSError as error:
            raise self._failure() from error

    def _read(self, size: int) -> bytes:
        data = b""
        while len(data) < size:
            try:
                block = self._output.read(size - len(data))
            except (OSError, ValueError) as error:  # closed by another thread
                raise self._failure() from error
            # The end of the pipe: the process has ended or is ending.
            if not block:
                raise self._failure()
            data += block
        return data

    @contextmanager
    def _in_time(self, seconds: float) -> Iterator[None]:
        """End the process if the block takes longer. Reads and writes of the block then fail at once."""
        timer = Timer(seconds, self._expire)
        timer.start()
        try:
            yield
        finally:
            timer.cancel()

    def _expire(self) -> None:
        self._is_late = True
        self._process.kill()

    def _failure(self) -> DataError:
        # A process that is ending by itself tells its own exit code.
        with suppress(subprocess.TimeoutExpired):
            self._process.wait(timeout=_PATIENCE_SECONDS)
        self.close()
        return DataError(f"the detector failed at frame {self._frames}: it {self._end()}")

    def _end(self) -> str:
        """Return the kind of the end of the process, with the last lines."""
        code = self._process.returncode
        if self._is_late:
            how = "took too long"
        else:
            how = f"was killed by signal {-code}" if code < 0 else f"ended with exit code {code}"
        lines = [line.decode(errors="replace").strip() for line in self._last_lines]
        return "\n".join([f"{how}. Last lines:" if lines else f"{how}.", *lines])


def _keep_last(pipe: IO[bytes], lines: deque[bytes]) -> None:
    """Read a pipe to the end, and keep the last lines. A long line is cut."""
    with pipe:
        while line := pipe.readline(_LINE_BYTES):
            lines.append(line)
