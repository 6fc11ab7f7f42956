"""Pickles of lists and dicts of tensors, read without running what they ask for.

A pickle may call whatever it names, so here it may name four things, and each is our own: a tensor's
memory is read with ``weights_only=True``, and a tensor is put together only of such memory.
"""

import gzip
import io
import pickle
from collections import OrderedDict
from collections.abc import Callable
from pathlib import Path
from typing import Any

from ..core.errors import DataError
from .foreign import DAMAGE, blocked_class

LEAST_LIMIT_BYTES = 1 << 30
MAX_RATIO = 20
"""Unpacked to packed: float32 features come to a few, an attack with gzip reaches 1000."""


def read_pickles(path: Path, *, max_bytes: int | None = None) -> list[Any]:
    """Return the objects that a file holds, one pickle after another.

    Args:
        path: gzipped, or unpacked.
        max_bytes: of the unpacked file; None: 20 times the packed one, 1 GiB at least.

    Raises:
        DataError: the file is damaged, too large unpacked, or asks for anything but lists, dicts, text,
            numbers and tensors.
    """
    content: list[Any] = []
    try:
        with path.open("rb") as raw:
            packed = raw.read(2) == b"\x1f\x8b"
            raw.seek(0)
            size = path.stat().st_size
            limit = max_bytes or (max(LEAST_LIMIT_BYTES, MAX_RATIO * size) if packed else size)
            with gzip.open(raw) if packed else raw as file:
                bounded = _Bounded(file, limit=limit, path=path)
                while bounded.begins():
                    content.append(_Unpickler(bounded, path=path).load())
    except DAMAGE as error:
        if name := blocked_class(error):
            raise _refusal(path, name) from error
        fault = f"{type(error).__name__}: {str(error).strip()[:200]}"
        raise DataError(f"{path} must be a whole pickle, but: {fault}") from error
    return content


class _Bounded:
    """A file for the unpickler that hands out so many bytes and no more."""

    def __init__(self, file: Any, *, limit: int, path: Path) -> None:
        self._file = file
        self._ahead = b""
        self._left = limit
        self._limit = limit
        self._path = path

    def begins(self) -> bool:
        """Tell whether there is anything left; its first byte is kept for the next read."""
        self._ahead = self._file.read(1)
        return bool(self._ahead)

    def read(self, size: int, /) -> bytes:
        """Return ``size`` bytes, fewer at the end; a size beyond the limit is not even asked for."""
        return self._take(self._file.read(max(0, min(size, self._left + 1) - len(self._ahead))))

    def readline(self) -> bytes:
        """Return the bytes up to the line's end."""
        return self._take(self._file.readline(self._left + 1))

    def _take(self, data: bytes) -> bytes:
        data, self._ahead = self._ahead + data, b""
        self._left -= len(data)
        if self._left < 0:
            raise DataError(
                f"{self._path} must unpack to at most {self._limit} bytes, but goes on.\n"
                "If you trust it, unpack it with gunzip and import the unpacked file."
            )
        return data


class _Unpickler(pickle.Unpickler):
    """Unpickles lists, dicts, text, numbers and tensors."""

    def __init__(self, file: _Bounded, *, path: Path) -> None:
        super().__init__(file)
        self._path = path

    def find_class(self, module: str, name: str, /) -> Any:
        """Return what stands in for one of the four names a tensor needs.

        Raises:
            DataError: it is another one.
        """
        ours = _CALLABLE.get(f"{module}.{name}")
        if ours is None:
            raise _refusal(self._path, f"{module}.{name}")
        return ours


class _Callable:
    """Something a pickle may call, and can neither change nor subclass."""

    __slots__ = ("_function",)

    def __init__(self, function: Callable[..., Any]) -> None:
        object.__setattr__(self, "_function", function)

    def __setattr__(self, name: str, value: Any) -> None:
        raise TypeError(f"{name} cannot be set")

    def __call__(self, *args: Any) -> Any:
        return self._function(*args)


def _load_storage(data: bytes) -> Any:
    """Return a tensor's memory as a flat tensor."""
    import torch

    if data[:2] == b"PK":  # not how tensors are pickled, and could unpack to any size
        raise pickle.UnpicklingError("a tensor's memory must not be a zip archive")
    storage = torch.load(io.BytesIO(data), map_location="cpu", weights_only=True)
    return torch.empty(0, dtype=storage.dtype).set_(storage)


def _rebuild_tensor(flat: Any, offset: int, size: Any, stride: Any, *_: Any) -> Any:
    """Return a tensor over that memory; sizes that go beyond it are refused by torch."""
    return flat.as_strided(size, stride, offset)


def _encode(text: str, encoding: str) -> bytes:
    """Return bytes as protocol 2 writes them."""
    if encoding != "latin1":
        raise pickle.UnpicklingError(f"bytes must be encoded as latin1, but are as {encoding!r}")
    return text.encode("latin1")


_CALLABLE = {
    "torch._utils._rebuild_tensor_v2": _Callable(_rebuild_tensor),
    "torch.storage._load_from_bytes": _Callable(_load_storage),
    "collections.OrderedDict": _Callable(OrderedDict),
    "_codecs.encode": _Callable(_encode),
}


def _refusal(path: Path, name: str) -> DataError:
    return DataError(
        f"{path} must hold only lists, dicts, text, numbers and tensors, but asks for {name}.\n"
        "It may run anything when it is unpickled: do not open it otherwise either, unless you made it."
    )
