"""Export of a cache as ``.npy`` files or as safetensors, for code without fla.

``OUT/<split>.jsonl`` lists the file and the sentence of each video. ``OUT/export.json`` describes the origin
of the features. A file with its final name is complete.
"""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Literal

from ..cache.checksum_header import read_checksum
from ..cache.reader import FeatureCache, read_shards, shard_paths, splits_in
from ..core.config import first_difference
from ..core.errors import CacheError
from ..core.files import read_json, visible, write_json, write_jsonl
from ..core.sample import DEFAULT_TASK
from .export_files import MAX_FILE_BYTES, write_npy_files, write_safetensors_files

Layout = Literal["npy", "safetensors"]
LAYOUTS: tuple[Layout, ...] = ("npy", "safetensors")
FORMAT = "fla-export-1"
DESCRIPTION = "export.json"


@dataclass(frozen=True, kw_only=True)
class ExportResult:
    """Result of an export."""

    out: Path
    """Folder of the export."""
    clips: dict[str, int]
    """Number of rows (videos and their views) of each split."""
    files: dict[str, int]
    """Number of feature files of each split."""

    def to_dict(self) -> dict[str, Any]:
        """Return the result, ready for JSON."""
        return {"out": str(self.out), "clips": self.clips, "files": self.files}

    def describe(self) -> str:
        """Return the result as lines of text."""
        lines = [
            f"{self.out / f'{split}.jsonl'}: {count} clips in {self.files[split]} file(s)"
            for split, count in self.clips.items()
        ]
        return "\n".join(lines)


def export_cache(
    folder: Path,
    *,
    out: Path,
    layout: Layout,
    splits: Sequence[str] = (),
    max_file_bytes: int = MAX_FILE_BYTES,
) -> ExportResult:
    """Write the features of a cache, unchanged float16, into files for other code.

    The same call on the same cache continues an interrupted export.

    Args:
        folder: the cache.
        out: an empty or missing folder, or the folder of the same export.
        layout: ``npy`` for a file ``OUT/<split>/<name>.npy`` for each video, with the name of
            :func:`~fla_llm.interchange.clip_names.clip_name`, or ``safetensors`` for files
            ``OUT/<split>-<i>-of-<n>.safetensors`` with ids as keys.
        splits: the splits to export, all if empty.
        max_file_bytes: limit of features in a safetensors file. A longer video has a file of its own.

    Raises:
        CacheError: the folder holds no complete cache, ``out`` holds other files, or an id cannot be a key in
            safetensors.
        DataError: ``OUT/export.json`` is not JSON.
    """
    # All splits are opened before anything is written: a missing shard leaves no half export.
    caches = {split: FeatureCache(folder, split) for split in splits or _splits(folder)}
    description = _describe(folder, caches, layout)
    # The file size belongs to the description: with another size the same names hold other clips.
    _begin(out, description | ({} if layout == "npy" else {"max_file_bytes": max_file_bytes}))
    files = {}
    for split, cache in caches.items():
        if layout == "npy":
            places = write_npy_files(cache, out, split)
        else:
            places = write_safetensors_files(cache, out, split, max_file_bytes=max_file_bytes)
        # The list comes last, so a split with a list is complete.
        write_jsonl(out / f"{split}.jsonl", _list(cache, places))
        files[split] = len({place["file"] for place in places})
    return ExportResult(out=out, clips={split: len(cache) for split, cache in caches.items()}, files=files)


def _splits(folder: Path) -> list[str]:
    """Return all splits of a cache whose shards are all there and agree."""
    read_shards(folder)
    return splits_in(folder)


def _describe(folder: Path, caches: Mapping[str, FeatureCache], layout: Layout) -> dict[str, Any]:
    """Return everything that decides the bytes of an export. A shard's checksum stands for its content."""
    return {
        "format": FORMAT,
        "layout": layout,
        "shards": {path.name: read_checksum(path) for split in caches for path in shard_paths(folder, split)},
        "made_by": {split: asdict(cache.provenance) for split, cache in caches.items()},
        "rejected": {
            split: [list(pair) for shard in read_shards(folder, split) for pair in shard.rejected]
            for split in caches
        },
    }


def _begin(out: Path, description: dict[str, Any]) -> None:
    """Take a folder for this export.

    Raises:
        CacheError: it holds something else.
        DataError: its ``export.json`` is not JSON.
    """
    remedy = "Export to another folder, or empty this one."
    marker = out / DESCRIPTION
    if marker.is_file():
        there = read_json(marker)
        if difference := first_difference(there if isinstance(there, dict) else {}, description):
            key, old, new = difference
            raise CacheError(
                f"{out} must hold the same export, but {key} is {old!r} there and would be {new!r} now.\n"
                f"{remedy}"
            )
        return
    if out.exists() and not out.is_dir():
        raise CacheError(f"{out} must be a folder, but is a file.\n{remedy}")
    if out.is_dir() and (others := [path.name for path in visible(out.iterdir())]):
        raise CacheError(f"{out} must be empty, but holds {others[0]!r}.\n{remedy}")
    write_json(marker, description)


def _list(cache: FeatureCache, places: Sequence[dict[str, str]]) -> list[dict[str, Any]]:
    """Return the lines of a split's list, in the cache's order."""
    return [
        {
            "id": row.id,
            **place,
            "text": row.text,
            "language": row.language,
            "signer": row.signer,
            "num_frames": row.num_frames,
            "num_steps": int(steps),
            "view": row.view,
            "frame_offset": row.frame_offset,
            "crc32": int(crc32),
            # Exports of translations alone keep their bytes.
            **({} if row.task == DEFAULT_TASK else {"task": row.task}),
            **({"references": list(row.references)} if row.references else {}),
        }
        for row, place, steps, crc32 in zip(cache.rows, places, cache.num_steps, cache.crc32, strict=True)
    ]
