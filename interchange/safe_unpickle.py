"""Unpickling of lists and dicts of tensors, without running any code in the file.

A pickle may call any function by name. Here four names are allowed, and each is replaced by a function of
this package: the memory of a tensor is read with ``weights_only=True``, and a tensor is built over such
memory.
"""

import gzip
import io
import pickle
from pathlib import Path
from typing import Any

from ..core.errors import DataError
from .array_files import READ_ERRORS, blocked_class
from .bounded_file import BoundedFile
from .pickle_limits import LimitedUnpickler, check_opcodes, check_torch_pickles, empty_dict, encode_latin1

LEAST_LIMIT_BYTES = 1 << 30
MAX_RATIO = 20
"""Unpacked to packed bytes: float32 features come to a few, an attack with gzip reaches 1000."""


def read_pickles(path: Path, *, max_bytes: int | None = None) -> list[Any]:
    """Return the objects of a file, one pickle after another.

    Args:
        path: a gzipped or unpacked file.
        max_bytes: limit of the unpacked file. None: 20 times the packed size, at least 1 GiB.

    Raises:
        DataError: the file is damaged, too large unpacked, declares sizes beyond the file, or holds other
            objects than lists, dicts, text, numbers and tensors.
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
                content.append(LimitedUnpickler(file, functions=_FUNCTIONS, limit=limit).load())
    except READ_ERRORS as error:
        if name := blocked_class(error):
            raise _refusal(path, name) from error
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


def _load_storage(data: bytes) -> Any:
    """Return a tensor's memory as a flat tensor."""
    import torch

    if data[:2] == b"PK":  # not how tensors are pickled, and could unpack to any size
        raise pickle.UnpicklingError("a tensor's memory must not be a zip archive")
    check_torch_pickles(BoundedFile(io.BytesIO(data), limit=len(data), name="a tensor"), size=len(data))
    # weights_only: the storage of a tensor is itself a pickle.
    storage = torch.load(io.BytesIO(data), map_location="cpu", weights_only=True)
    return torch.empty(0, dtype=storage.dtype).set_(storage)


def _rebuild_tensor(flat: Any, offset: int, size: Any, stride: Any, *_: Any) -> Any:
    """Return a tensor over the given memory. Torch refuses sizes beyond the memory."""
    return flat.as_strided(size, stride, offset)


_FUNCTIONS = {
    "torch._utils._rebuild_tensor_v2": _rebuild_tensor,
    "torch.storage._load_from_bytes": _load_storage,
    "collections.OrderedDict": empty_dict,
    "_codecs.encode": encode_latin1,
}


def _refusal(path: Path, name: str) -> DataError:
    return DataError(
        f"{path} must hold only lists, dicts, text, numbers and tensors, but asks for {name}.\n"
        "Unpickling such a file can run any program. Do not open it with other tools, unless you made it."
    )
