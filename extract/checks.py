"""Checks before the first clip, and the description of a plan."""

import logging
import shutil
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from ..cache.format import parse_shard_name, partial_folder
from ..core.errors import CacheError, DataError
from ..core.files import visible
from ..core.sample import Medium, Sample
from ..corpora.copies import warn_of_enlarging
from ..corpora.manifest import Manifest, has_file
from ..corpora.trained_on import warn_of_other_files
from .plan import Extraction, ShardPlan

logger = logging.getLogger(__name__)


def check(extraction: Extraction) -> None:
    """Refuse an extraction that cannot end well, and log the disk space of views.

    Raises:
        CacheError: the disk has too little room, or the folder holds shards of another set.
        DataError: none of a shard's videos exists: the corpus has another folder on this machine.
        FlaError: as :attr:`.plan.Extraction.plans`.
    """
    plans, out = extraction.plans, extraction.out
    needed, free = disk_needed(plans), disk_free(out)
    if needed > free:
        raise CacheError(
            f"{out} needs about {needed / 1e9:.2f} GB, but its disk has {free / 1e9:.2f} GB free.\n"
            "Choose another folder, or extract less at a time: --split, --shard i/n."
        )
    _check_set(plans, out)
    for plan in plans:
        if plan.finished is None and plan.samples:
            _check_input(extraction, plan.samples)
    medium = extraction.encoder.config.medium
    if medium != "descriptions":
        warn_of_other_files(extraction.trained_on, extraction.manifest, medium)
    if medium == "video":
        warn_of_enlarging(extraction.manifest.copies, extraction.encoder.config.resize_size)
    for line in views_cost(plans):
        logger.info(line)


def describe(extraction: Extraction) -> tuple[dict[str, Any], str]:
    """Return the plan as JSON values, and as text."""
    plans = extraction.plans
    content = {
        "shards": [
            {
                "path": str(plan.path),
                "clips": len(plan.samples),
                "steps": sum(plan.steps),
                "size_bytes": plan.size_bytes,
                "is_finished": plan.finished is not None,
            }
            for plan in plans
        ],
        "views_bytes": sum(plan.views_bytes for plan in plans),
        "disk_needed_bytes": disk_needed(plans),
        "disk_free_bytes": disk_free(extraction.out),
    }
    lines = [
        f"{plan.path}: {'finished' if plan.finished else 'to write'}, {len(plan.samples)} clips, "
        f"{sum(plan.steps)} steps of {plan.provenance.feature_size}, {plan.size_bytes / 1e6:.1f} MB"
        for plan in plans
    ]
    needed, free = content["disk_needed_bytes"], content["disk_free_bytes"]
    disk = f"disk: {needed / 1e9:.2f} GB needed, {free / 1e9:.2f} GB free"
    return content, "\n".join([*lines, *views_cost(plans), disk])


def views_cost(plans: Sequence[ShardPlan]) -> list[str]:
    """Return a line about the disk space of views, or no line without views."""
    most = max((view.number for plan in plans for view in plan.views), default=0)
    if not most:
        return []
    added, whole = sum(plan.views_bytes for plan in plans), sum(plan.size_bytes for plan in plans)
    return [f"{most} views of each training video add {added / 1e9:.2f} GB: {whole / 1e9:.2f} GB in all"]


def disk_needed(plans: Sequence[ShardPlan]) -> int:
    """Return the disk space of the unfinished shards, with the journal of the largest shard."""
    # While a shard is written its journal and the file exist side by side.
    unfinished = [plan for plan in plans if plan.finished is None]
    journals = [partial_folder(plan.path) / "features.bin" for plan in unfinished]
    there = sum(journal.stat().st_size for journal in journals if journal.exists())
    sizes = [plan.size_bytes for plan in unfinished]
    return max(0, sum(sizes) + max(sizes, default=0) - there)


def disk_free(folder: Path) -> int:
    """Return the free bytes of the disk of ``folder``."""
    # The folder itself is made later, so the nearest folder that exists tells the disk.
    there = next(path for path in (folder.absolute(), *folder.absolute().parents) if path.exists())
    return shutil.disk_usage(there).free


def _check_set(plans: Sequence[ShardPlan], out: Path) -> None:
    """Refuse to mix sets: shards of 8 and of 4 would hold videos twice, and no reader takes both."""
    names = [parse_shard_name(path.name) for path in visible(out.glob("*.h5"))]
    counts = {plan.split: plan.count for plan in plans}
    for split, _, count in filter(None, names):
        if count != counts.get(split, count):
            raise CacheError(
                f"{out} must hold one set of {split} shards, but holds some of {count} "
                f"and would get some of {counts[split]}.\n"
                f"Say which by --shard i/{count}, or delete the set that is not wanted."
            )


def _check_input(extraction: Extraction, samples: tuple[Sample, ...]) -> None:
    """Refuse samples whose input is elsewhere, or of another corpus."""
    medium = extraction.encoder.config.medium
    if medium == "descriptions":
        assert extraction.texts is not None, "a text encoder has descriptions"
        extraction.texts.check(samples)
    else:
        check_files(extraction.manifest, samples, medium=medium)


def check_files(manifest: Manifest, samples: Sequence[Sample], *, medium: Medium) -> None:
    """Refuse samples of which no file exists: the corpus has another folder on this machine.

    Raises:
        DataError: none of the videos or pose files exists.
    """
    # A single missing file is rejected later. If all are missing the corpus is elsewhere.
    there = [sample for sample in samples if has_file(sample, medium)]
    first = (there or samples)[0]
    if any(manifest.path(sample, medium).exists() for sample in there):
        return
    if not there or not manifest.root.is_dir():
        manifest.file(first, medium)  # raises the more exact error
    what = "videos" if medium == "video" else "pose files"
    raise DataError(
        f"The {what} of {first.split} must be where the manifest says, but none is: "
        f"{manifest.path(first, medium)} is not there.\n{manifest.remedy(first, medium)}"
    )
