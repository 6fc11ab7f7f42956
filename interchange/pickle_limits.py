"""Limits on pickles: declared sizes are checked before an unpickler allocates memory.

A pickle of ten bytes can make an unpickler allocate gigabytes, because an opcode declares a size and the
unpickler believes the opcode. Here a pickle may build about as much as the file holds, and no more.
"""

import pickle
import pickletools
from collections.abc import Callable, Mapping
from functools import partial
from typing import IO, Any, cast

from .bounded_file import BoundedFile

MAX_OPCODES = 10_000_000
"""Limit of opcodes in a pickle. A clip takes about 60 opcodes."""
# The opcodes with an index into the memo.
_MEMO = frozenset({"PUT", "BINPUT", "LONG_BINPUT"})
_LEGACY_PICKLES = 5  # magic number, version, system, content, keys of the storages; then the raw numbers
_REBUILD = (
    "_rebuild_tensor", "_rebuild_tensor_v2", "_rebuild_tensor_v3", "_rebuild_parameter",
    "_rebuild_parameter_with_state", "_rebuild_sparse_tensor", "_rebuild_qtensor",
)  # fmt: skip
_ITEM_BYTES = {
    **dict.fromkeys(["Byte", "Char", "Bool", "Untyped"], 1),
    **dict.fromkeys(["Half", "BFloat16", "Short"], 2),
    **dict.fromkeys(["Float", "Int"], 4),
    **dict.fromkeys(["Double", "Long", "ComplexFloat"], 8),
    "ComplexDouble": 16,
}
"""Bytes of a number in each of torch's storage classes, such as ``torch.FloatStorage``."""
# torch.load would also call bytearray and torch.FloatTensor, with any number as the size.
_TORCH_NAMES = {
    *(f"torch._utils.{name}" for name in _REBUILD),
    *(
        "torch._tensor._rebuild_from_type_v2",
        "torch.serialization._get_layout",
        "torch.nn.parameter.Parameter",
    ),
    *("torch.Size", "torch.device", "builtins.complex", "__builtin__.complex"),
}


def check_opcodes(file: BoundedFile) -> None:
    """Read one pickle to its end without building any object.

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
        """Prepare to read one pickle.

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


def check_torch_pickles(file: BoundedFile, *, size: int, count: int = _LEGACY_PICKLES) -> None:
    """Check the pickles of a ``torch.save`` file: names, opcodes, and the sizes of all storages.

    Args:
        file: a file with the pickles at the start.
        size: bytes of the whole file, storages included.
        count: number of pickles: 1 in a zip archive, 5 in the older format.

    Raises:
        UnpicklingError: a name does not belong to a tensor, or a storage declares more bytes than the file
            has.
        Exception: an error of ``pickle`` on a damaged file.
    """
    for _ in range(count):
        check_opcodes(file)
    file.rewind()
    for _ in range(count):
        _StorageCheck(file, size=size).load()


class _StorageCheck(LimitedUnpickler):
    """Unpickler without tensors, which compares the declared size of each storage with the file."""

    def __init__(self, file: BoundedFile, *, size: int) -> None:
        functions = {**dict.fromkeys(_TORCH_NAMES, _no_tensor), "_codecs.encode": encode_latin1}
        super().__init__(file, functions=functions | {"collections.OrderedDict": empty_dict}, limit=size)
        self._size = size

    def find_class(self, module: str, name: str, /) -> Any:
        """Return a storage's bytes per number, None for a constant of torch, or a function.

        Raises:
            UnpicklingError: the name is not among those of a tensor.
        """
        import torch

        if module in ("torch", "torch.storage") and name.removesuffix("Storage") in _ITEM_BYTES:
            return _ITEM_BYTES[name.removesuffix("Storage")]
        # dtypes are stored by name, and are harmless.
        if module == "torch" and isinstance(getattr(torch, name, None), torch.dtype | torch.qscheme):
            return None
        return super().find_class(module, name)

    def persistent_load(self, pid: Any) -> None:
        """Check one storage: ``("storage", class, key, device, count, ...)``."""
        # Both may be any object of the pickle: text times a number would be a long text.
        _, item_bytes, _, _, count, *_ = pid
        if not isinstance(item_bytes, int) or not isinstance(count, int):
            raise pickle.UnpicklingError(f"a storage must have a class and a size, but has {pid!r:.100}")
        if not 0 <= item_bytes * count <= self._size:
            raise pickle.UnpicklingError(
                f"a storage declares {item_bytes * count} bytes, but the file has {self._size}"
            )


def _no_tensor(*_: Any) -> None:
    """Return nothing in place of a tensor."""
