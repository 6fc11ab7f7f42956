"""Summary of a cache for ``fla cache info``: content, missing shards, origin."""

from collections import Counter
from dataclasses import asdict
from pathlib import Path
from typing import Any

from ..core.files import visible
from ..core.sample import DEFAULT_TASK
from .format import parse_shard_name
from .journal import count_videos
from .reader import planned_paths, read_agreeing
from .shard import ShardIndex


def summarise(folder: Path) -> dict[str, Any]:
    """Return the content, the gaps and the origin of a cache, ready for JSON.

    ``missing`` lists absent shards of splits that have other shards. ``unfinished`` lists shards that have a
    journal, with the number of videos in the journal.

    Raises:
        CacheError: the folder holds no cache or other files, or the shards are damaged or disagree.
    """
    unfinished = _unfinished(folder)
    begun_only = unfinished and not visible(folder.glob("*.h5"))
    paths = [] if begun_only else planned_paths(folder)
    shards = read_agreeing([path for path in paths if path.exists()])
    splits: dict[str, list[ShardIndex]] = {}
    for shard in shards:
        splits.setdefault(shard.provenance.split, []).append(shard)
    made_by = asdict(shards[0].provenance) if shards else {}
    missing = [path.name for path in paths if not path.exists()]
    return {
        "folder": str(folder),
        "is_complete": not missing and not unfinished,
        "splits": {split: _summarise_split(parts) for split, parts in splits.items()},
        "missing": missing,
        "unfinished": unfinished,
        # these two differ between splits
        "provenance": {k: v for k, v in made_by.items() if k not in ("split", "step_seconds")},
    }


def describe(summary: dict[str, Any]) -> str:
    """Return a summary as lines for people."""
    lines = [str(summary["folder"])]
    for split, held in summary["splits"].items():
        lines.append(f"  {split}: {_describe_split(held, summary['provenance']['feature_size'])}")
        # Translations alone are the usual case, and need no line.
        if set(held["tasks"]) - {DEFAULT_TASK}:
            lines.append(f"    {', '.join(f'{count} {task}' for task, count in held['tasks'].items())}")
        lines += [f"    could not be read, and is left out: {id_}" for id_ in held["rejected"]]
    lines += [f"  missing: {name}" for name in summary["missing"]]
    lines += [f"  unfinished: {part['shard']}, {part['videos']} videos" for part in summary["unfinished"]]
    lines += [f"  {key}: {_format_value(value)}" for key, value in summary["provenance"].items()]
    return "\n".join(lines)


def _unfinished(folder: Path) -> list[dict[str, Any]]:
    """Return the unfinished shards with a journal."""
    # A journal beside its finished shard is left over from a kill, and not unfinished work.
    paths = {path.with_suffix(".h5"): path for path in visible(folder.glob("*.partial"))}
    return [
        {"shard": shard.name, "videos": count_videos(journal)}
        for shard, journal in paths.items()
        if parse_shard_name(shard.name) and not shard.exists()
    ]


def _describe_split(held: dict[str, Any], feature_size: int) -> str:
    seconds = held["step_seconds"]
    step = "steps of different lengths" if seconds is None else f"{seconds:.4g} s a step"
    return (
        f"{held['videos']} videos in {held['shards']} shard(s), {_format_views(held['views'])}"
        f"{held['steps']} steps of {feature_size}, {held['shortest']} to {held['longest']} a video, "
        f"{step}, {held['size_bytes'] / 1e6:.1f} MB"
    )


def _format_value(value: Any) -> str:
    if isinstance(value, dict):
        return ", ".join(f"{key} {inner}" for key, inner in value.items())
    return str(value)


def _format_views(views: int) -> str:
    return f"{views} augmented views of each, " if views else ""


def _summarise_split(shards: list[ShardIndex]) -> dict[str, Any]:
    steps = [int(count) for shard in shards for count in shard.num_steps]
    return {
        "shards": len(shards),
        "videos": len({row.id for shard in shards for row in shard.rows}),
        "tasks": dict(
            sorted(Counter({row.id: row.task for shard in shards for row in shard.rows}.values()).items())
        ),
        "views": max((row.view for shard in shards for row in shard.rows), default=0),
        "steps": sum(steps),
        "shortest": min(steps, default=0),
        "longest": max(steps, default=0),
        "step_seconds": shards[0].provenance.step_seconds,
        "size_bytes": sum(shard.path.stat().st_size for shard in shards),
        "rejected": list(dict.fromkeys(id_ for shard in shards for id_, _ in shard.rejected)),
    }
