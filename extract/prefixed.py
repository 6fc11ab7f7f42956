"""A stream whose lines say which process they are of."""

import io
from typing import TextIO


class Prefixed(io.TextIOBase):
    """Writes whole lines to another stream, each with a prefix. It is no terminal: bars become lines."""

    def __init__(self, stream: TextIO, *, prefix: str) -> None:
        """Write to ``stream``, and begin each line with ``prefix``."""
        self._stream, self._prefix = stream, prefix
        self._rest = ""

    def writable(self) -> bool:
        """Return True."""
        return True

    def write(self, text: str) -> int:
        r"""Keep the text; pass on the lines that ``\n`` has ended, in one piece so that they stay whole."""
        *lines, self._rest = (self._rest + text).split("\n")
        if lines:
            self._stream.write("".join(f"{self._prefix}{line}\n" for line in lines))
            self._stream.flush()
        return len(text)

    def flush(self) -> None:
        """Pass on what was written; a line that has not ended waits."""
        self._stream.flush()
