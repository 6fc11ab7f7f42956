"""Limits on the pickles inside ``torch.save`` files: names, opcodes, and the sizes of all storages."""

import pickle
from typing import Any

from ..core.bounded_file import BoundedFile
from ..core.limited_pickle import LimitedUnpickler, check_opcodes, empty_dict, encode_latin1

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
