"""Description files: what a multimodal language model says about the frames of each clip.

A folder holds files ``<split>-<i>-of-<n>.jsonl``. The first line of a file is a header: format, corpus,
split, model, revision, prompt, settings and counts. Then comes a line for each described frame, ``{"id",
"frame", "text"}``, the frames of a clip together and rising, or ``{"id", "rejected"}`` for an unreadable
clip.
"""

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from ..cache.format import parse_shard_name, shard_name
from ..core.config import first_difference
from ..core.errors import DataError
from ..core.files import visible, write_jsonl
from ..core.sample import SPLITS

FORMAT = "fla-descriptions-1"
HEADER_KEYS = ("format", "corpus", "split", "model", "revision", "prompt", "settings", "counts")
OWN_KEYS = ("split", "counts")
"""Header keys that differ between the files of a folder."""


@dataclass(frozen=True, kw_only=True)
class ClipLines:
    """Place of a clip's lines in a description file."""

    path: Path
    start: int
    """First byte."""
    count: int = 0
    """Number of described frames, 0 for a rejected clip."""


@dataclass(kw_only=True)
class DescriptionFile:
    """Header and clips of a description file, without the texts."""

    path: Path
    header: dict[str, Any]
    clips: dict[str, ClipLines] = field(default_factory=dict)
    """Described and rejected clips by id, in order."""

    @property
    def rejected(self) -> list[str]:
        """Ids of the clips that could not be read."""
        return [id for id, lines in self.clips.items() if not lines.count]


class Descriptions:
    """All description files of a folder. Texts are read from the disk when they are asked for."""

    def __init__(self, folder: Path, splits: Sequence[str] = SPLITS) -> None:
        """Read the headers and the places of all clips.

        Args:
            folder: a folder of ``fla describe``.
            splits: splits to read. Splits without files are left out.

        Raises:
            DataError: the folder holds no description file of these splits, lacks a file of a set, a file is
                damaged, or two files have different headers.
        """
        self.folder = folder
        self.files = [read_description_file(path) for path in _description_paths(folder, splits)]
        self.clips = {(f.header["split"], id): lines for f in self.files for id, lines in f.clips.items()}
        for file in self.files:
            _check_same_header(self.files[0], file)

    @property
    def header(self) -> dict[str, Any]:
        """Header of all files, without split and counts."""
        return common_header(self.files[0].header)

    def read(self, split: str, id: str) -> dict[int, str]:
        """Return the descriptions of a clip by frame number, in rising order.

        Raises:
            DataError: the clip has no description. The message names the reason.
        """
        lines = self.clips.get((split, id))
        if lines is None or not lines.count:
            why = "is not described" if lines is None else "could not be read when it was to be described"
            trial = f" (a trial of {limit} clips per split)" if (limit := self.header.get("limit")) else ""
            raise DataError(f"{split} clip {id!r} {why} in {self.folder}{trial}.")
        # The texts of a corpus take hundreds of megabytes, so only their places are in memory.
        with lines.path.open("rb") as file:
            file.seek(lines.start)
            rows = [json.loads(file.readline()) for _ in range(lines.count)]
        return {row["frame"]: row["text"] for row in rows}


def description_path(folder: Path, split: str, index: int, count: int) -> Path:
    """Return the path of a description file.

    >>> description_path(Path("descriptions"), "dev", 0, 1).name
    'dev-0-of-1.jsonl'
    """
    return (folder / shard_name(split, index, count)).with_suffix(".jsonl")


def parse_description_name(name: str) -> tuple[str, int, int] | None:
    """Return (split, index, count) of a description file's name, or None for another name."""
    return parse_shard_name(name.removesuffix(".jsonl") + ".h5") if name.endswith(".jsonl") else None


def common_header(header: Mapping[str, Any]) -> dict[str, Any]:
    """Return the part of a header that all files of a folder share."""
    return {key: value for key, value in header.items() if key not in OWN_KEYS}


def write_descriptions(path: Path, header: Mapping[str, Any], entries: Sequence[Mapping[str, Any]]) -> None:
    """Write a whole description file, atomically.

    Args:
        path: the file.
        header: the header without ``format`` and ``counts``.
        entries: a mapping for each line after the header. Reasons of rejections are left out of the file,
            because they hold paths of one machine.
    """
    rows = [{"id": e["id"], "rejected": True} if "rejected" in e else dict(e) for e in entries]
    described = [row for row in rows if "text" in row]
    # By the counts a reader knows a whole file from one that was cut.
    counts = {
        "clips": len({row["id"] for row in described}),
        "frames": len(described),
        "rejected": len(rows) - len(described),
    }
    write_jsonl(path, [{"format": FORMAT, **header, "counts": counts}, *rows])


def read_description_file(path: Path) -> DescriptionFile:
    """Read the header and the places of the clips of a description file.

    Raises:
        DataError: the file is no description file, is cut off, or a line is damaged. The error names the
            line.
    """
    with path.open("rb") as raw:
        header = _parse(raw.readline(), f"{path}, line 1")
        _check_header(header, path)
        file = DescriptionFile(path=path, header=header)
        _read_lines(file, raw, start=raw.tell())
    frames = sum(lines.count for lines in file.clips.values())
    found = {"clips": len(file.clips) - len(file.rejected), "frames": frames, "rejected": len(file.rejected)}
    # A file cut at a line end is still JSON Lines: only the counts show the loss.
    if found != header["counts"]:
        raise DataError(
            f"{path} must hold {header['counts']} by its first line, but holds {found}: "
            "it was cut off or edited.\nRun: fla describe"
        )
    return file


def _read_lines(file: DescriptionFile, raw: Any, *, start: int) -> None:
    number, last = 1, ("", -1)
    for line in raw:
        number += 1
        row, place = _parse(line, f"{file.path}, line {number}"), f"{file.path}, line {number}"
        id, frame = row.get("id"), row.get("frame", -1)
        if not isinstance(id, str) or not ("rejected" in row or _is_described(row)):
            raise DataError(f"{place} must have id, frame and text, or id and rejected, but has {row}.")
        # The frames of a clip are read as one block.
        if id != last[0] and id in file.clips:
            raise DataError(f"{place}: the lines of {id!r} must follow one another, but begin twice.")
        if id == last[0] and frame <= last[1]:
            raise DataError(f"{place}: frames of {id!r} must rise, but {frame} follows {last[1]}.")
        known = file.clips.get(id, ClipLines(path=file.path, start=start))
        file.clips[id] = ClipLines(path=file.path, start=known.start, count=known.count + ("text" in row))
        last, start = (id, frame), start + len(line)


def _is_described(row: Mapping[str, Any]) -> bool:
    return isinstance(row.get("text"), str) and type(row.get("frame")) is int and row["frame"] >= 0


def _check_header(header: Mapping[str, Any], path: Path) -> None:
    if header.get("format") != FORMAT:
        raise DataError(
            f"{path} must begin with a header of format {FORMAT!r}, but has {header.get('format')!r}.\n"
            "Run: fla describe, which writes descriptions."
        )
    if missing := [key for key in HEADER_KEYS if key not in header]:
        raise DataError(f"{path}, line 1 must have the key {missing[0]!r}, but has {', '.join(header)}.")


def _check_same_header(first: DescriptionFile, other: DescriptionFile) -> None:
    # Texts of two models or prompts in one stream would have different meanings.
    difference = first_difference(common_header(first.header), common_header(other.header))
    if difference is not None:
        key, left, right = difference
        raise DataError(
            f"{first.path} and {other.path} must come from one model and prompt, but {key} is {left!r} in "
            f"the first and {right!r} in the second.\nDescribe both in the same way."
        )


def _description_paths(folder: Path, splits: Sequence[str]) -> Iterator[Path]:
    """Yield the files of the splits, in the order of splits and shards."""
    if not folder.is_dir():
        raise DataError(f"{folder} must be a folder of descriptions, but does not exist.\nRun: fla describe")
    names = [parse_description_name(path.name) for path in visible(folder.glob("*.jsonl"))]
    found = [name for name in names if name is not None and name[0] in splits]
    if not found:
        raise DataError(
            f"{folder} must hold descriptions of {', '.join(splits)} (such as train-0-of-1.jsonl), but holds "
            "none.\nRun: fla describe"
        )
    # Half a set would leave out every other clip without a word.
    for split in (split for split in SPLITS if split in {name[0] for name in found}):
        counts = sorted({count for name, _, count in found if name == split})
        paths = [description_path(folder, split, index, counts[0]) for index in range(counts[0])]
        missing = [path.name for path in paths if not path.exists()]
        if len(counts) > 1 or missing:
            fault = f"lacks {', '.join(missing)}" if missing else f"holds sets of {counts} files"
            raise DataError(f"{folder} must hold one whole set of {split} files, but {fault}.")
        yield from paths


def _parse(line: bytes, place: str) -> dict[str, Any]:
    try:
        row = json.loads(line)
    except ValueError as error:
        raise DataError(f"{place} must be JSON, but is not: {error}") from error
    if not isinstance(row, dict):
        raise DataError(f"{place} must be a JSON object, but is {type(row).__name__}.")
    return row
