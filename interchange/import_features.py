"""Import of features that other code made, into a cache."""

import logging
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from ..cache.finished import read_finished
from ..cache.writer import ShardWriter
from ..core.errors import DataError
from ..core.progress import progress
from .external import read_float16
from .import_config import ImportConfig, Sentences
from .import_plan import ImportPlan, SplitPlan, plan_import, row_key

logger = logging.getLogger(__name__)

_NAMED = 3


@dataclass(frozen=True, kw_only=True)
class RejectedClip:
    """Clip that is not in the cache."""

    split: str
    id: str
    reason: str


@dataclass(kw_only=True)
class ImportResult:
    """Result of an import, or expected result of a planned import."""

    shards: list[Path] = field(default_factory=list)
    """All planned shards, written now or earlier."""
    skipped: list[Path] = field(default_factory=list)
    """Shards that were finished earlier."""
    rejected: list[RejectedClip] = field(default_factory=list)
    """Clips that are missing or unusable, and not in the shards."""
    clips: int = 0
    """Number of clips in the shards."""
    without_row: Sequence[str] = ()
    """Files of the source without a row in the manifest."""

    def to_dict(self) -> dict[str, Any]:
        """Return the result, ready for JSON."""
        return {
            "shards": [str(path) for path in self.shards],
            "skipped": [str(path) for path in self.skipped],
            "rejected": [vars(rejected) for rejected in self.rejected],
            "clips": self.clips,
            "without_row": {"count": len(self.without_row), "first": list(self.without_row[:_NAMED])},
        }

    def describe(self) -> str:
        """Return the result as lines of text."""
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
    """Write a cache from features of other code, or continue an interrupted import.

    Args:
        source: a folder of ``.npy`` or ``.pt`` files, an export, or a pickle of signjoey.
        out: folder of the cache. Other splits in the folder stay unchanged.
        config: description of the source.
        sentences: sentences of the files in a folder. A pickle of signjoey and an export hold sentences.

    Raises:
        ConfigError: an option is missing, or not allowed for the source.
        DataError: the source cannot be read, a split has no usable clip, or clips differ in width or number
            format.
        CacheError: a shard with another content exists, another process is writing a shard, a text cannot be
            stored, or the disk is full.
    """
    return write_import(plan_import(source, out=out, config=config, sentences=sentences))


def describe_plan(plan: ImportPlan) -> ImportResult:
    """Return the expected result of an import, before any features are read."""
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
    """Write a shard for each planned split.

    Raises:
        CacheError: a shard with another content exists, another process is writing a shard, a text cannot be
            stored, or the disk is full.
    """
    result = ImportResult(without_row=plan.without_row)
    for split in plan.splits:
        # A finished shard of the same plan is kept: the same command continues an import.
        finished = read_finished(split.path, rows=split.rows, provenance=split.provenance)
        result.shards.append(split.path)
        if finished is None:
            _write_shard(split, result)
            continue
        logger.info(f"{split.path} is finished: skipped")
        result.skipped.append(split.path)
        result.clips += len(finished.rows)
        reason = (
            f"It was unusable when {split.path.name} was written. Repair it, delete the shard, import again."
        )
        result.rejected += [
            RejectedClip(split=split.provenance.split, id=id_, reason=reason) for id_, _ in finished.rejected
        ]
    return result


def _write_shard(plan: SplitPlan, result: ImportResult) -> None:
    name = plan.provenance.split
    # The writer asks for rows in its own order, after a continued journal not from the first.
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
                # One bad clip must not end an import of thousands.
                except DataError as error:
                    logger.warning(f"{row.id}: {error}")
                    writer.reject(row, str(error))
                bar.update(1)
        rejected = [RejectedClip(split=name, id=e.id, reason=e.rejected or "") for e in writer.rejected]
        result.clips += writer.num_rows - len(rejected)
        writer.finish()
        result.rejected += rejected
