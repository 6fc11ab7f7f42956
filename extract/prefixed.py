"""Output of several processes: each line begins with the name of the process."""

import io
from typing import TextIO


class Prefixed(io.TextIOBase):
    """Stream with a prefix before each line. Not a terminal: progress bars become lines."""

    def __init__(self, stream: TextIO, *, prefix: str) -> None:
        """Write to ``stream``, and begin each line with ``prefix``."""
        self._stream, self._prefix = stream, prefix
        self._rest = ""

    def writable(self) -> bool:
        """Return True."""
        return True

    def write(self, text: str) -> int:
        r"""Write all lines ended by ``\n`` in a single write, so that lines stay whole. Keep the rest."""
        *lines, self._rest = (self._rest + text).split("\n")
        if lines:
            self._stream.write("".join(f"{self._prefix}{line}\n" for line in lines))
            self._stream.flush()
        return len(text)

    def flush(self) -> None:
        """Flush the other stream. A line without its end waits."""
        self._stream.flush()
