"""An import that was planned, written; and what it ends with."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from ..cache.finished import read_finished
from ..cache.writer import ShardWriter
from ..core.errors import DataError
from ..core.progress import progress, say
from .external import read_float16
from .import_config import ImportConfig, Sentences
from .import_plan import ImportPlan, SplitPlan, plan_import, row_key

_NAMED = 3


@dataclass(frozen=True, kw_only=True)
class RejectedClip:
    """A clip that is not in the cache."""

    split: str
    id: str
    reason: str


@dataclass(kw_only=True)
class ImportResult:
    """What an import did, or is going to do."""

    shards: list[Path] = field(default_factory=list)
    """All shards asked for, written now or earlier."""
    skipped: list[Path] = field(default_factory=list)
    """Those of them that were finished earlier."""
    rejected: list[RejectedClip] = field(default_factory=list)
    """The clips that are missing or cannot be used, and are not in the shards."""
    clips: int = 0
    """Clips that are in the shards."""
    without_row: Sequence[str] = ()
    """Files in the source that no row of the manifest asks for."""

    def to_dict(self) -> dict[str, Any]:
        """Return it as JSON can hold it."""
        return {
            "shards": [str(path) for path in self.shards],
            "skipped": [str(path) for path in self.skipped],
            "rejected": [vars(rejected) for rejected in self.rejected],
            "clips": self.clips,
            "without_row": {"count": len(self.without_row), "first": list(self.without_row[:_NAMED])},
        }

    def describe(self) -> str:
        """Return it as lines for people."""
        lines = [f"{path}{' (finished earlier)' if path in self.skipped else ''}" for path in self.shards]
        lines.append(f"{self.clips} clips")
        if self.rejected:
            lines.append(f"{len(self.rejected)} clips are left out:")
            lines += [f"  {clip.split} {clip.id}: {clip.reason}" for clip in self.rejected]
        if self.without_row:
            dots = ", ..." if len(self.without_row) > _NAMED else ""
            named = ", ".join(self.without_row[:_NAMED])
            lines.append(f"{len(self.without_row)} files are in no row of the manifest: {named}{dots}")
        return "\n".join(lines)


def import_features(
    source: Path, *, out: Path, config: ImportConfig, sentences: Sentences | None = None
) -> ImportResult:
    """Write a cache of features that other code made; go on where an earlier run was ended.

    Args:
        source: a folder of ``.npy`` or ``.pt`` files, one a clip, or signjoey's file of a split.
        out: the cache's folder; other splits in it are left alone.
        config: what the files do not say.
        sentences: the sentences of the files in a folder; signjoey's file has them.

    Raises:
        ConfigError: as :func:`~fla_llm.interchange.import_plan.plan_import`.
        DataError: as :func:`~fla_llm.interchange.import_plan.plan_import`.
        CacheError: a shard is there that was made of something else, another process is writing it,
            a text cannot be stored, or the disk is full.
    """
    return write_import(plan_import(source, out=out, config=config, sentences=sentences))


def describe_plan(plan: ImportPlan) -> ImportResult:
    """Return what an import would end with, as far as can be told before the features are read."""
    result = ImportResult(without_row=plan.without_row)
    for split in plan.splits:
        result.shards.append(split.path)
        result.clips += len(split.clips) - len(split.faults)
        result.rejected += [
            RejectedClip(split=split.provenance.split, id=id_, reason=reason)
            for (id_, _), reason in split.faults.items()
        ]
    return result


def write_import(plan: ImportPlan) -> ImportResult:
    """Write a shard of each split that was planned.

    Raises:
        CacheError: as :func:`import_features`.
    """
    result = ImportResult(without_row=plan.without_row)
    for split in plan.splits:
        finished = read_finished(split.path, rows=split.rows, provenance=split.provenance)
        result.shards.append(split.path)
        if finished is None:
            _write_shard(split, result)
            continue
        say(f"{split.path} is finished: skipped")
        result.skipped.append(split.path)
        result.clips += len(finished.rows)
        reason = f"It could not be used when {split.path.name} was written; mend it and delete that shard."
        result.rejected += [
            RejectedClip(split=split.provenance.split, id=id_, reason=reason) for id_, _ in finished.rejected
        ]
    return result


def _write_shard(plan: SplitPlan, result: ImportResult) -> None:
    name = plan.provenance.split
    clips = {clip.row: clip for clip in plan.clips}
    with ShardWriter(
        plan.folder, split=name, index=0, count=1, rows=plan.rows, provenance=plan.provenance
    ) as writer:
        with progress(desc=f"import {name}", total=writer.num_rows, unit="clip") as bar:
            bar.update(writer.num_written)
            for row in writer.pending:
                try:
                    if row_key(row) in plan.faults:
                        raise DataError(plan.faults[row_key(row)])
                    writer.append(row, read_float16(clips[row], width=plan.provenance.feature_size))
                except DataError as error:
                    say(f"{row.id}: {error}")
                    writer.reject(row, str(error))
                bar.update(1)
        rejected = [RejectedClip(split=name, id=e.id, reason=e.rejected or "") for e in writer.rejected]
        result.clips += writer.num_rows - len(rejected)
        writer.finish()
        result.rejected += rejected
