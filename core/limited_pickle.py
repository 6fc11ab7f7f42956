"""Pickles of unknown origin, read without running code: declared sizes are checked before allocation.

A pickle of ten bytes can make an unpickler allocate gigabytes, because an opcode declares a size and the
unpickler believes the opcode. Here a pickle may build about as much as the file holds, and no more.
"""

import gzip
import pickle
import pickletools
from collections.abc import Callable, Mapping
from functools import partial
from pathlib import Path
from typing import IO, Any, cast

from .bounded_file import BoundedFile
from .errors import DataError
from .read_errors import READ_ERRORS, blocked_class

MAX_OPCODES = 10_000_000
"""Limit of opcodes in a pickle. A clip takes about 60 opcodes."""
# The opcodes with an index into the memo.
_MEMO = frozenset({"PUT", "BINPUT", "LONG_BINPUT"})
LEAST_LIMIT_BYTES = 1 << 30
MAX_RATIO = 20
"""Unpacked to packed bytes: float32 features come to a few, an attack with gzip reaches 1000."""


def read_pickles(
    path: Path, *, functions: Mapping[str, Callable[..., Any]], holds: str, max_bytes: int | None = None
) -> list[Any]:
    """Return the objects of a file, one pickle after another, without running any code in the file.

    Args:
        path: a gzipped or unpacked file.
        functions: the names that the pickles may call, and the functions to call instead.
        holds: the objects of the file in words, for errors.
        max_bytes: limit of the unpacked file. None: 20 times the packed size, at least 1 GiB.

    Raises:
        DataError: the file is damaged, too large unpacked, declares sizes beyond the file, or calls
            a name that is not among ``functions``.
    """
    content: list[Any] = []
    try:
        # By content, not by name: signjoey's files have no suffix.
        packed = _is_packed(path)
        limit = max_bytes or _limit_bytes(path.stat().st_size, packed=packed)
        with gzip.open(path) if packed else path.open("rb") as opened:
            file = BoundedFile(opened, limit=limit, name=str(path))
            # The first pass only reads sizes: the second pass may then allocate what they declare.
            while file.begins():
                check_opcodes(file)
            file.rewind()
            while file.begins():
                content.append(LimitedUnpickler(file, functions=functions, limit=limit).load())
    except READ_ERRORS as error:
        if name := blocked_class(error):
            raise _refusal(path, name, holds) from error
        fault = f"{type(error).__name__}: {str(error).strip()[:200]}"
        raise DataError(f"{path} must be a whole pickle, but: {fault}") from error
    return content


def _is_packed(path: Path) -> bool:
    with path.open("rb") as file:
        return file.read(2) == b"\x1f\x8b"


def _limit_bytes(size: int, *, packed: bool) -> int:
    """Return how many bytes a file of this size may unpack to."""
    # A small file of zeros may unpack well. Below 1 GiB there is nothing to fear.
    return max(LEAST_LIMIT_BYTES, MAX_RATIO * size) if packed else size


def check_opcodes(file: BoundedFile) -> None:
    """Read a pickle to the end without building any object.

    Raises:
        UnpicklingError: a memo index is larger than the number of opcodes before it, or the pickle has
            more than ``MAX_OPCODES`` opcodes.
        ValueError: a declared length goes beyond the end of the file, or a byte is not an opcode.
    """
    for count, (opcode, argument, _) in enumerate(pickletools.genops(cast("IO[bytes]", file))):
        # The unpickler's memo is an array as long as the largest index.
        if opcode.name in _MEMO and isinstance(argument, int) and argument > count:
            raise pickle.UnpicklingError(f"memo index {argument} must be at most {count} at this opcode")
        # An empty dict takes one byte in the file and 72 in memory.
        if count >= MAX_OPCODES:
            raise pickle.UnpicklingError(f"a pickle must have at most {MAX_OPCODES} opcodes")


class LimitedUnpickler(pickle.Unpickler):
    """Unpickler with a limited choice of functions and a limited number of bytes for all calls."""

    def __init__(self, file: BoundedFile, *, functions: Mapping[str, Callable[..., Any]], limit: int) -> None:
        """Prepare to read a pickle.

        Args:
            file: a file whose opcodes have been checked by :func:`check_opcodes`.
            functions: the allowed names, and the functions to call instead.
            limit: bytes and items of all arguments together, usually the size of the file.
        """
        super().__init__(file)
        self._functions = functions
        self._limit = limit
        self._left = limit

    def find_class(self, module: str, name: str, /) -> Any:
        """Return the function for an allowed name.

        Raises:
            UnpicklingError: the name is not among ``functions``.
        """
        function = self._functions.get(f"{module}.{name}")
        if function is None:
            raise pickle.UnpicklingError(f"GLOBAL {module}.{name}")
        return _Callable(partial(self._call, function))

    def _call(self, function: Callable[..., Any], *args: Any) -> Any:
        # A text of the pickle could otherwise be copied by ten thousand calls of six bytes.
        self._left -= sum(len(arg) for arg in args if isinstance(arg, str | bytes | tuple | list | dict))
        if self._left < 0:
            raise pickle.UnpicklingError(f"calls must build at most {self._limit} bytes, but build more")
        return function(*args)


class _Callable:
    """Function for a pickle to call. A pickle can neither change nor subclass the function."""

    __slots__ = ("_function",)

    def __init__(self, function: Callable[..., Any]) -> None:
        object.__setattr__(self, "_function", function)

    def __setattr__(self, name: str, value: Any) -> None:
        raise TypeError(f"{name} cannot be set")

    def __call__(self, *args: Any) -> Any:
        return self._function(*args)


def encode_latin1(text: str, encoding: str) -> bytes:
    """Return bytes from text, as protocol 2 stores bytes.

    Raises:
        UnpicklingError: the encoding is not latin1.
    """
    # "hex" doubles a text: thirty nested calls would make gigabytes of one letter.
    if encoding != "latin1":
        raise pickle.UnpicklingError(f"bytes must be encoded as latin1, but are as {encoding!r}")
    return text.encode("latin1")


def empty_dict() -> dict[Any, Any]:
    """Return an empty dict for an ``OrderedDict``. The pickle fills the dict afterwards."""
    return {}


def _refusal(path: Path, name: str, holds: str) -> DataError:
    return DataError(
        f"{path} must hold only {holds}, but asks for {name}.\n"
        "Unpickling such a file can run any program. Do not open it with other tools, unless you made it."
    )
