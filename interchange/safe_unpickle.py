"""Unpickling of lists and dicts of tensors, without running any code in the file.

A pickle may call any function by name. Here four names are allowed, and each is replaced by a function of
this package: the memory of a tensor is read with ``weights_only=True``, and a tensor is built over such
memory.
"""

import io
import pickle
from pathlib import Path
from typing import Any

from ..core import limited_pickle
from ..core.bounded_file import BoundedFile
from ..core.limited_pickle import empty_dict, encode_latin1
from .pickle_limits import check_torch_pickles


def read_pickles(path: Path, *, max_bytes: int | None = None) -> list[Any]:
    """Return the objects of a file, one pickle after another.

    Args:
        path: a gzipped or unpacked file.
        max_bytes: limit of the unpacked file. None: 20 times the packed size, at least 1 GiB.

    Raises:
        DataError: the file is damaged, too large unpacked, declares sizes beyond the file, or holds other
            objects than lists, dicts, text, numbers and tensors.
    """
    holds = "lists, dicts, text, numbers and tensors"
    return limited_pickle.read_pickles(path, functions=_FUNCTIONS, holds=holds, max_bytes=max_bytes)


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
