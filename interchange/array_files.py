"""Arrays of features in ``.npy`` and ``.pt`` files, opened without running any code in the files.

``.npy`` is mapped into memory without pickle, ``.pt`` is read with ``weights_only=True``.
"""

import zipfile
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from ..core.bounded_file import BoundedFile
from ..core.errors import DataError
from ..core.npy_files import map_npy
from ..core.read_errors import READ_ERRORS, blocked_class
from .pickle_limits import check_torch_pickles

if TYPE_CHECKING:
    from torch import Tensor

DTYPES = ("float16", "bfloat16", "float32", "float64")
OpenedArray = tuple[np.ndarray, str]
"""Features (T, D) or (1, T, D), and the name of their number format in the file."""


def open_npy(path: Path) -> OpenedArray:
    """Map a ``.npy`` file into memory.

    Raises:
        DataError: it is no whole ``.npy`` file, or holds pickled objects.
    """
    array = map_npy(path)
    return array, array.dtype.name


def check_dtype(name: str) -> None:
    """Check the number format of features.

    Raises:
        DataError: the format is not one of ``DTYPES``.
    """
    if name not in DTYPES:
        raise DataError(f"Its features must be one of {', '.join(DTYPES)}, but are {name}.")


def open_pt(path: Path) -> OpenedArray:
    """Open a file of ``torch.save`` with one tensor, or with a dict of one tensor of features.

    Raises:
        DataError: as :func:`load_pt`, or the file holds no tensor or several tensors of features.
    """
    content = load_pt(path)
    tensors = content if isinstance(content, dict) else {"": content}
    # Some extractors store lengths and ids beside the features.
    found = {key: value for key, value in tensors.items() if _may_be_features(value)}
    if len(found) != 1:
        raise DataError(
            f"{path} must hold one tensor of features, or a dict with one, but holds {_in_words(content)}."
        )
    return from_tensor(*found.values(), origin=str(path), max_bytes=path.stat().st_size)


def load_pt(path: Path) -> Any:
    """Return the content of a file of ``torch.save``, with tensors mapped from a zip archive.

    Raises:
        DataError: the file is damaged or compressed, or holds other objects than tensors and plain values.
    """
    import torch

    try:
        is_zip = zipfile.is_zipfile(path)
        if is_zip:
            _check_archive(path)
        else:
            size = path.stat().st_size
            with path.open("rb") as file:
                check_torch_pickles(BoundedFile(file, limit=size, name=str(path)), size=size)
        # torch can map zip archives only.
        return torch.load(path, map_location="cpu", weights_only=True, mmap=is_zip)
    except READ_ERRORS as error:
        raise DataError(f"{path} {_pickle_fault(error)}") from error


def from_tensor(tensor: "Tensor", *, origin: str, max_bytes: int | None = None) -> OpenedArray:
    """Return a tensor as an array. bfloat16 becomes float32, because numpy lacks bfloat16.

    Args:
        tensor: any tensor.
        origin: source of the tensor, for errors.
        max_bytes: limit of the tensor's size, or None.

    Raises:
        DataError: the tensor is sparse, has a number format outside ``DTYPES``, or repeats numbers.
    """
    import torch

    # Sparse and quantised tensors have no plain array.
    if tensor.layout != torch.strided or tensor.is_quantized:
        raise DataError(
            f"{origin} must hold a plain tensor, but holds a {tensor.layout}, {tensor.dtype} one."
        )
    # An expanded tensor repeats numbers: a file of 1 kB could then fill any disk.
    stored = tensor.untyped_storage().nbytes()
    if tensor.numel() * tensor.element_size() > (stored if max_bytes is None else min(stored, max_bytes)):
        raise DataError(
            f"{origin} must hold every number of its {tuple(tensor.shape)} tensor, but repeats some."
        )
    name = str(tensor.dtype).removeprefix("torch.")
    check_dtype(name)  # numpy has no float8
    # force: a tensor may be marked as the negative of its memory.
    return (tensor.float() if tensor.dtype == torch.bfloat16 else tensor).numpy(force=True), name


def _pickle_fault(error: BaseException) -> str:
    if name := blocked_class(error):
        return (
            f"must hold tensors and plain values alone, but asks for {name}.\n"
            "Save the tensor alone: torch.save(features, path)."
        )
    first_line = str(error).strip().split("\n")[0]
    return f"must be a whole file of torch.save, but: {type(error).__name__}: {first_line[:200]}"


def _check_archive(path: Path) -> None:
    """Refuse an archive with compressed parts, or with declared sizes beyond the size of the file."""
    size = path.stat().st_size
    with zipfile.ZipFile(path) as archive:
        entries = archive.infolist()
        if any(entry.compress_type != zipfile.ZIP_STORED for entry in entries):
            raise ValueError("parts of it are compressed")
        # Stored parts take their declared size in the file, so a larger sum is a lie.
        if sum(entry.file_size for entry in entries) > size:
            raise ValueError(f"its parts declare more than the {size} bytes that it has")
        for entry in entries:
            # The one pickle of a torch archive. All other parts are raw numbers.
            if entry.filename.endswith("data.pkl"):
                with archive.open(entry) as file:
                    check_torch_pickles(BoundedFile(file, limit=size, name=str(path)), size=size, count=1)


def _may_be_features(value: Any) -> bool:
    import torch

    return isinstance(value, torch.Tensor) and value.is_floating_point() and value.ndim >= 2


def _in_words(content: Any) -> str:
    if not isinstance(content, dict):
        shape = f" {tuple(content.shape)} {content.dtype}" if hasattr(content, "shape") else ""
        return f"{type(content).__name__}{shape}"
    shown = [f"{key!r}: {_in_words(value)}" for key, value in list(content.items())[:5]]
    return f"a dict of {{{', '.join(shown)}{', ...' if len(content) > 5 else ''}}}"
