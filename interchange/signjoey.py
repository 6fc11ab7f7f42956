"""Pickles of signjoey: a gzipped list of {name, signer, gloss, text, sign: FloatTensor (T, D)}."""

from collections import Counter
from functools import partial
from pathlib import Path
from typing import Any

from ..cache.format import CacheRow
from ..core.errors import DataError
from ..core.text import find_unstorable
from .array_files import from_tensor
from .external import ExternalClip
from .safe_unpickle import read_pickles

_TEXTS = ("name", "text", "signer")


def read_signjoey(
    path: Path, *, split: str, language: str, max_bytes: int | None = None
) -> list[ExternalClip]:
    """Read all clips of a split at once, in about twice the unpacked size of memory.

    An id is the name in the file, without the prefix ``train/`` where all names of split ``train`` have the
    prefix.

    Args:
        path: a gzipped or unpacked file. Several pickles one after another count as one list.
        split: the split of the file.
        language: ISO 639-1 code of the sentences.
        max_bytes: limit of the unpacked file. None: 20 times the packed size, at least 1 GiB.

    Raises:
        DataError: the file is damaged, too large unpacked, holds other objects than lists, dicts, text,
            numbers and tensors, or an entry lacks a value.
    """
    entries = _read_entries(path, max_bytes)
    prefix = f"{split}/"
    names = [entry["name"] for entry in entries]
    # The last of two equal names would replace the first without a word.
    if doubles := [name for name, count in Counter(names).items() if count > 1]:
        raise DataError(f"{path} must hold every name once, but holds {doubles[0]!r} more than once.")
    # A prefix of some names alone is a part of the ids.
    if not all(name.startswith(prefix) and name != prefix for name in names):
        prefix = ""
    return [
        ExternalClip(
            row=CacheRow(
                id=entry["name"].removeprefix(prefix),
                text=entry["text"],
                language=language,
                signer=entry["signer"],
                num_frames=_length(entry["sign"]),
            ),
            open=partial(from_tensor, entry["sign"], origin=f"{path}, {entry['name']!r}"),
        )
        for entry in entries
    ]


def _length(sign: Any) -> int:
    """Return T of (T, D) or (1, T, D), or 0 for a tensor of another rank."""
    return int(sign.shape[-2]) if sign.ndim >= 2 else 0


def _read_entries(path: Path, max_bytes: int | None) -> list[dict[str, Any]]:
    content = read_pickles(path, max_bytes=max_bytes)
    for part in content:
        if not isinstance(part, list):
            raise DataError(f"{path} must hold a list of dicts, but holds {type(part).__name__}.")
    entries = [entry for part in content for entry in part]
    if not entries:
        raise DataError(f"{path} must hold at least one entry, but is empty.")
    return [_check(entry, f"{path}, entry {number}") for number, entry in enumerate(entries)]


def _check(entry: Any, place: str) -> dict[str, Any]:
    """Return an entry with its texts and tensor.

    Raises:
        DataError: a text or the tensor is missing, or a text cannot be stored in a cache.
    """
    import torch

    if type(entry) is not dict:
        raise DataError(f"{place} must be a dict of name, text and sign, but is {type(entry).__name__}.")
    entry = {**entry, "signer": entry.get("signer") or ""}
    for key in _TEXTS:
        if not isinstance(entry.get(key), str):
            raise DataError(f"{place}: {key!r} must be text, but is {_brief(entry, key)}.")
        if found := find_unstorable(entry[key]):
            raise DataError(f"{place}: {key!r} must be without {found}, but is {_brief(entry, key)}.")
    if not entry["name"]:
        raise DataError(f"{place}: 'name' must not be empty, but is.")
    if not isinstance(entry.get("sign"), torch.Tensor):
        raise DataError(f"{place}: 'sign' must be a tensor, but is {_brief(entry, 'sign')}.")
    return entry


def _brief(entry: dict[str, Any], key: str) -> str:
    if key not in entry:
        return "missing"
    try:
        shown = f"{entry[key]!r:.100}"
    except (ValueError, RecursionError):  # an int of more than 4300 digits, or a list in a list in a list ...
        shown = "that is too long to show"
    return f"{type(entry[key]).__name__} {shown}"
