"""What a cache holds, for ``fla cache info``."""

from dataclasses import asdict
from pathlib import Path
from typing import Any

from .reader import read_shards
from .shard import ShardIndex


def summarise(folder: Path) -> dict[str, Any]:
    """Return what a cache holds and what made it, as JSON can hold it.

    Raises:
        CacheError: the folder holds no cache or other files, lacks a shard, or its shards disagree.
    """
    shards = read_shards(folder)
    splits: dict[str, list[ShardIndex]] = {}
    for shard in shards:
        splits.setdefault(shard.provenance.split, []).append(shard)
    made_by = asdict(shards[0].provenance)
    del made_by["split"], made_by["step_seconds"]  # these differ between splits
    return {
        "folder": str(folder),
        "splits": {split: _summarise_split(parts) for split, parts in splits.items()},
        "provenance": made_by,
        "unfinished": sorted(path.name for path in folder.glob("*.partial")),
    }


def describe(summary: dict[str, Any]) -> str:
    """Return a summary as lines for people."""
    lines = [str(summary["folder"])]
    for split, held in summary["splits"].items():
        lines.append(
            f"  {split}: {held['videos']} videos in {held['shards']} shard(s), "
            f"{_in_views(held['views'])}{held['steps']} steps, "
            f"{held['shortest']} to {held['longest']} a video, {held['size_bytes'] / 1e6:.1f} MB"
        )
        lines += [f"    could not be read, and is left out: {id_}" for id_ in held["rejected"]]
    lines += [f"  unfinished: {name}" for name in summary["unfinished"]]
    lines += [f"  {key}: {_in_words(value)}" for key, value in summary["provenance"].items()]
    return "\n".join(lines)


def _in_words(value: Any) -> str:
    if isinstance(value, dict):
        return ", ".join(f"{key} {inner}" for key, inner in value.items())
    return str(value)


def _in_views(views: int) -> str:
    return f"{views} augmented views of each, " if views else ""


def _summarise_split(shards: list[ShardIndex]) -> dict[str, Any]:
    steps = [int(count) for shard in shards for count in shard.num_steps]
    return {
        "shards": len(shards),
        "videos": len({row.id for shard in shards for row in shard.rows}),
        "views": max((row.view for shard in shards for row in shard.rows), default=0),
        "steps": sum(steps),
        "shortest": min(steps, default=0),
        "longest": max(steps, default=0),
        "step_seconds": shards[0].provenance.step_seconds,
        "size_bytes": sum(shard.path.stat().st_size for shard in shards),
        "rejected": list(dict.fromkeys(id_ for shard in shards for id_, _ in shard.rejected)),
    }
