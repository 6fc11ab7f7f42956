"""Reader of folders that ``fla cache export`` wrote. Lists and description hold everything of the cache."""

import json
from functools import lru_cache, partial
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from ..cache.format import FORMAT_VERSION, CacheRow, Provenance, from_attributes
from ..core.errors import CacheError, DataError
from ..core.files import read_json, read_jsonl, resolve_inside
from ..core.read_errors import READ_ERRORS
from ..core.sample import DEFAULT_TASK, TASKS, Task
from .array_files import OpenedArray, open_npy
from .export import DESCRIPTION, FORMAT
from .external import ExternalClip

_ROW = {
    "id": str,
    "text": str,
    "language": str,
    "signer": str,
    "num_frames": int,
    "view": int,
    "frame_offset": int,
}
_AGAIN = "Export the cache again."


class ExportedSplit(NamedTuple):
    """Content of an exported split."""

    clips: list[ExternalClip]
    """All rows of the cache in the order of the cache, then the rejected clips of the cache."""
    provenance: Provenance
    """Origin of the features, as in the cache."""
    files: frozenset[str]
    """Files of features, relative to the folder."""


class Export:
    """Description of a folder that ``fla cache export`` wrote."""

    def __init__(self, folder: Path, content: dict[str, Any]) -> None:
        self.folder = folder
        self.layout = str(content.get("layout"))
        self._made_by = _dict(content.get("made_by"))
        self._rejected = _dict(content.get("rejected"))

    @classmethod
    def find(cls, folder: Path) -> "Export | None":
        """Return the export in a folder, or None for a folder of other code.

        Raises:
            DataError: the folder's ``export.json`` is not JSON, or describes no split.
        """
        path = folder / DESCRIPTION
        content = read_json(path) if path.is_file() else None
        if not isinstance(content, dict) or content.get("format") != FORMAT:
            return None
        export = cls(folder, content)
        if not export.splits:
            raise DataError(f"{path}: 'made_by' must describe a split, but describes none.\n{_AGAIN}")
        return export

    @property
    def splits(self) -> list[str]:
        """Names of the exported splits."""
        return list(self._made_by)

    def read(self, split: str) -> ExportedSplit:
        """Read the list of a split.

        Raises:
            DataError: the split was not exported, or the list or the description is damaged.
        """
        if split not in self._made_by:
            raise DataError(f"{self.folder} must hold the split {split}, but holds {', '.join(self.splits)}.")
        path = self.folder / f"{split}.jsonl"
        lines = [(f"{path}, line {number}", line) for number, line in enumerate(read_jsonl(path), 1)]
        # Only the list is read here. Features are opened clip by clip.
        clips = [
            ExternalClip(
                row=CacheRow(
                    **{key: _value(line, key, kind, place) for key, kind in _ROW.items()},
                    task=_task(line, place),
                    references=_references(line, place),
                ),
                open=partial(self._open, line, place),
                crc32=_value(line, "crc32", int, place),
            )
            for place, line in lines
        ]
        files = frozenset(_value(line, "file", str, place) for place, line in lines)
        return ExportedSplit(clips + self._read_rejected(split), self._read_provenance(split), files)

    def _open(self, line: dict[str, Any], place: str) -> OpenedArray:
        # The list may come from a stranger, and must not name files outside of the folder.
        path = resolve_inside(self.folder, _value(line, "file", str, place))
        if self.layout == "npy":
            return open_npy(path)
        return _open_safetensors(path, _value(line, "key", str, place))

    def _read_provenance(self, split: str) -> Provenance:
        content = self._made_by[split]
        place = f"{self.folder / DESCRIPTION}, made_by.{split}"
        try:
            # HDF5 attributes hold dicts as JSON text, and leave None out.
            attributes = {key: _as_attribute(value) for key, value in content.items() if value is not None}
            found = from_attributes({**attributes, "format_version": FORMAT_VERSION}, origin=place)
        except (CacheError, AttributeError, TypeError, ValueError) as error:
            raise DataError(f"{place} must say what made the features, but: {error}\n{_AGAIN}") from error
        # The shard would otherwise be written under a name that its content denies.
        if found.split != split:
            raise DataError(f"{place}: 'split' must be {split!r}, but is {found.split!r}.\n{_AGAIN}")
        return found

    def _read_rejected(self, split: str) -> list[ExternalClip]:
        """Return the rejected clips of the exported cache, to be listed in the imported cache too."""
        pairs = self._rejected.get(split, [])
        if not all(isinstance(pair, list) and [*map(type, pair)] == [str, int] for pair in pairs):
            raise DataError(
                f"{self.folder / DESCRIPTION}: rejected.{split} must be a list of [id, view], "
                f"but is {pairs!r:.100}.\n{_AGAIN}"
            )
        blank: dict[str, Any] = {"text": "", "language": "", "signer": "", "num_frames": 0}
        return [
            ExternalClip(row=CacheRow(id=id_, view=view, **blank), open=_never_encoded) for id_, view in pairs
        ]


def _dict(value: Any) -> dict[str, Any]:
    return value if isinstance(value, dict) else {}


def _as_attribute(value: Any) -> Any:
    return json.dumps(value) if isinstance(value, dict) else value


def _value(line: dict[str, Any], key: str, kind: type, place: str) -> Any:
    value = line.get(key)
    # Not isinstance: True is an int, and never a number of frames.
    if type(value) is not kind:
        raise DataError(f"{place}: {key!r} must be {kind.__name__}, but is {value!r:.100}.\n{_AGAIN}")
    return value


def _task(line: dict[str, Any], place: str) -> Task:
    """Return the task of a clip. A line without a task is a translation."""
    task = line.get("task", DEFAULT_TASK)
    if task not in TASKS:
        raise DataError(f"{place}: 'task' must be one of {', '.join(TASKS)}, but is {task!r:.100}.\n{_AGAIN}")
    return task


def _references(line: dict[str, Any], place: str) -> tuple[str, ...]:
    found = line.get("references", [])
    if not isinstance(found, list) or not all(isinstance(text, str) for text in found):
        raise DataError(f"{place}: 'references' must be a list of texts, but is {found!r:.100}.\n{_AGAIN}")
    return tuple(found)


def _never_encoded() -> OpenedArray:
    raise DataError("It could not be encoded when the exported cache was made.")


def _open_safetensors(path: Path, key: str) -> OpenedArray:
    """Read a tensor.

    Raises:
        DataError: the file is damaged, or lacks the key.
    """
    from safetensors import SafetensorError

    try:
        array: np.ndarray = _opened(path).get_tensor(key)
    except (SafetensorError, *READ_ERRORS) as error:
        raise DataError(f"{path} must be a safetensors file with the key {key!r}, but: {error}") from error
    return array, array.dtype.name


@lru_cache(maxsize=1)
def _opened(path: Path) -> Any:
    """Open a safetensors file and keep the last file open."""
    from safetensors import safe_open

    return safe_open(path, framework="numpy")
