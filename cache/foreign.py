"""Features in other people's files, opened without running anything that is in them.

``.npy`` is mapped into memory without pickle, ``.pt`` is read with ``weights_only=True``. Shape and
number format are looked at before any feature is read.
"""

import pickle
import re
import struct
import tokenize
import zipfile
import zlib
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from ..core.errors import DataError
from .bounded_file import BoundedFile
from .format import CacheRow
from .pickle_limits import check_torch_pickles

if TYPE_CHECKING:
    from torch import Tensor

DTYPES = ("float16", "bfloat16", "float32", "float64")
Opened = tuple[np.ndarray, str]
"""Features (T, D), or (1, T, D), and the name of the number format they were in."""
DAMAGE = (
    pickle.UnpicklingError, zipfile.BadZipFile, zlib.error, OSError, EOFError, MemoryError, OverflowError,
    RuntimeError, LookupError, TypeError, ValueError, AttributeError, AssertionError, NameError, SyntaxError,
    struct.error, tokenize.TokenError,
)  # fmt: skip
"""What numpy, pickle and torch raise on bytes that are not what they should be."""


@dataclass(frozen=True, kw_only=True)
class ForeignClip:
    """A clip whose features lie in somebody's file."""

    row: CacheRow
    """What the cache will tell of it; where only the features know its length, ``num_frames`` is T."""
    open: Callable[[], Opened]
    """Opens its features; raises a DataError where it cannot."""
    crc32: int | None = None
    """Checksum of the float16 features, where the source states one."""


def look_at(clip: ForeignClip) -> tuple[int, int, str]:
    """Return T, D and the number format of a clip's features, without reading them.

    Raises:
        DataError: it cannot be opened, or is no sequence of features.
    """
    array, dtype = clip.open()
    shape = array.shape[1:] if array.ndim == 3 and array.shape[0] == 1 else array.shape
    if len(shape) != 2 or 0 in shape:
        raise DataError(f"Its features must be (T, D), T and D at least 1, but are {array.shape}.")
    _check_dtype(dtype)
    return shape[0], shape[1], dtype


def _check_dtype(name: str) -> None:
    if name not in DTYPES:
        raise DataError(f"Its features must be one of {', '.join(DTYPES)}, but are {name}.")


def read_half(clip: ForeignClip, *, width: int) -> np.ndarray:
    """Return a clip's features (T, D) as float16; D must be ``width``.

    Raises:
        DataError: as :func:`look_at`; D has changed meanwhile; a value is NaN or infinite, or too large
            for float16; or the features are not those of the stated checksum.
    """
    num_steps, found, _ = look_at(clip)
    if found != width:
        raise DataError(f"Its features must be {width} wide, as they were before, but are {found} wide now.")
    features = clip.open()[0].reshape(num_steps, width)
    if not np.isfinite(features).all():
        raise DataError("Its features hold NaN or infinity.")
    with np.errstate(over="ignore", under="ignore"):
        half = features.astype(np.float16)
    if not np.isfinite(half).all():
        raise DataError(
            "Its features must fit into float16, at most 65504 in size, but reach "
            f"{np.abs(features).max():g}.\nScale them."
        )
    if clip.crc32 is not None and zlib.crc32(half.tobytes()) != clip.crc32:
        raise DataError(
            "Its features must be those that were exported, but have another checksum.\n"
            "To import features that you changed, delete export.json and name them with --encoder."
        )
    return half


def open_npy(path: Path) -> Opened:
    """Map a ``.npy`` file into memory.

    Raises:
        DataError: it is no whole ``.npy`` file, or holds pickled objects.
    """
    try:
        _check_npy_header(path)
        array = np.load(path, mmap_mode="r", allow_pickle=False)
    except DAMAGE as error:
        raise DataError(f"{path} must be a whole .npy file without pickled objects, but: {error}") from error
    if not isinstance(array, np.ndarray):
        array.close()
        raise DataError(f"{path} must be a .npy file, but is a .npz archive.")
    return array, array.dtype.name


def _check_npy_header(path: Path) -> None:
    """Refuse a header that declares more bytes than the file has: numpy allocates them before it reads."""
    with path.open("rb") as file:
        start = file.read(
            12
        )  # magic string, two bytes of version, then the length: 2 bytes, or 4 from 2.0 on
    length = start[8:10] if start[6:7] == b"\x01" else start[8:12]
    if start.startswith(b"\x93NUMPY") and int.from_bytes(length, "little") > path.stat().st_size:
        raise ValueError("its header is longer than the file")


def open_pt(path: Path) -> Opened:
    """Open the tensor that ``torch.save`` wrote: alone, or the only one of features in a dict.

    Raises:
        DataError: the file is damaged, compressed, holds anything but tensors and plain values, or no
            tensor or several that could be meant.
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
        content = torch.load(path, map_location="cpu", weights_only=True, mmap=is_zip)
    except DAMAGE as error:
        raise DataError(f"{path} {_pickle_fault(error)}") from error
    tensors = content if isinstance(content, dict) else {"": content}
    found = {key: value for key, value in tensors.items() if _may_be_features(value)}
    if len(found) != 1:
        raise DataError(
            f"{path} must hold one tensor of features, or a dict with one, but holds {_in_words(content)}."
        )
    return from_tensor(*found.values(), origin=str(path), max_bytes=path.stat().st_size)


def from_tensor(tensor: "Tensor", *, origin: str, max_bytes: int | None = None) -> Opened:
    """Return a tensor as an array; bfloat16, which numpy lacks, as float32.

    Args:
        tensor: any tensor.
        origin: where it is from, for errors.
        max_bytes: what it may take, besides its own memory; None: any number.

    Raises:
        DataError: it is sparse, is in a number format that is not among ``DTYPES``, or takes more bytes than
            it has: a small file could then fill any disk.
    """
    import torch

    if tensor.layout != torch.strided or tensor.is_quantized:
        raise DataError(
            f"{origin} must hold a plain tensor, but holds a {tensor.layout}, {tensor.dtype} one."
        )
    stored = tensor.untyped_storage().nbytes()
    if tensor.numel() * tensor.element_size() > (stored if max_bytes is None else min(stored, max_bytes)):
        raise DataError(
            f"{origin} must hold every number of its {tuple(tensor.shape)} tensor, but repeats some."
        )
    name = str(tensor.dtype).removeprefix("torch.")
    _check_dtype(name)  # numpy has no float8
    # force: a tensor may be marked as the negative of its memory.
    return (tensor.float() if tensor.dtype == torch.bfloat16 else tensor).numpy(force=True), name


def blocked_class(error: BaseException) -> str | None:
    """Return the class that torch refused to make, by its error, or None."""
    found = re.search(r"GLOBAL ([\w.]+)", str(error))
    return found[1] if found and isinstance(error, pickle.UnpicklingError) else None


def _pickle_fault(error: BaseException) -> str:
    if name := blocked_class(error):
        return (
            f"must hold tensors and plain values alone, but asks for {name}.\n"
            "Save the tensor alone: torch.save(features, path)."
        )
    first_line = str(error).strip().split("\n")[0]
    return f"must be a whole file of torch.save, but: {type(error).__name__}: {first_line[:200]}"


def _check_archive(path: Path) -> None:
    """Refuse an archive that could unpack to more bytes than it has: ``torch.save`` compresses nothing."""
    size = path.stat().st_size
    with zipfile.ZipFile(path) as archive:
        entries = archive.infolist()
        if any(entry.compress_type != zipfile.ZIP_STORED for entry in entries):
            raise ValueError("parts of it are compressed")
        if sum(entry.file_size for entry in entries) > size:
            raise ValueError(f"its parts declare more than the {size} bytes that it has")
        for entry in entries:
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
