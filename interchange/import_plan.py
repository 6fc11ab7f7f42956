"""Plan of an import: inspect all clips of the source before anything is written.

A clip with unusable features is left out and listed with the reason, never dropped silently.
"""

import hashlib
import json
import os
from collections.abc import Mapping
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path

from ..cache.format import CacheRow, Provenance, shard_name
from ..core.errors import DataError
from ..core.progress import progress
from .export import DESCRIPTION
from .external import ExternalClip, inspect_clip
from .import_config import ImportConfig, Sentences
from .import_sources import find_clips

RowKey = tuple[str, int]
"""Unique key of a row in a split: (id, view)."""


def row_key(row: CacheRow) -> RowKey:
    """Return the id and view of a row."""
    return row.id, row.view


@dataclass(frozen=True, kw_only=True)
class SplitPlan:
    """Planned shard of a split."""

    folder: Path
    """Folder of the cache."""
    clips: tuple[ExternalClip, ...]
    """All clips of the split, in order."""
    faults: Mapping[RowKey, str]
    """Reason for each unusable row, by (id, view)."""
    num_steps: int
    """Steps of all usable clips."""
    provenance: Provenance
    """Origin of the features, as the shard will record it."""

    @property
    def path(self) -> Path:
        """The shard's file."""
        return self.folder / shard_name(self.provenance.split, 0, 1)

    @property
    def rows(self) -> list[CacheRow]:
        """Records of all clips in the cache."""
        return [clip.row for clip in self.clips]


@dataclass(frozen=True, kw_only=True)
class ImportPlan:
    """Inspected import, ready to write."""

    splits: tuple[SplitPlan, ...]
    """Planned shards."""
    without_row: tuple[str, ...]
    """Files in the source folder without a row in the manifest."""


@dataclass(frozen=True, kw_only=True)
class _Inspection:
    """Result of the inspection of a split's clips."""

    faults: Mapping[RowKey, str]
    num_steps: int
    kinds: Mapping[tuple[int, str], str]
    """(D, number format) of the usable clips, and the first clip's id of each."""


def plan_import(source: Path, *, out: Path, config: ImportConfig, sentences: Sentences | None) -> ImportPlan:
    """Inspect the source of an import, and write nothing.

    Args:
        source: a folder of files, an export, or a pickle of signjoey.
        out: folder of the cache.
        config: description of the source.
        sentences: the sentences, or None for a source with sentences.

    Raises:
        ConfigError: an option is missing, or not allowed for the source.
        DataError: the source cannot be read, a split has no usable clip, or clips differ in width or number
            format.
    """
    # Messages name the whole path. Links are kept: the user knows the folder by this name.
    source = Path(os.path.abspath(source))
    sources, without_row = find_clips(source, config, sentences)
    inspections = {split: _inspect(split, found.clips) for split, found in sources.items()}
    width, dtype = _common_kind(inspections)
    plans = []
    for split, look in inspections.items():
        known = sources[split].provenance
        if known is not None and known.feature_size != width:
            raise DataError(
                f"Features of {split} must be {known.feature_size} wide by {source / DESCRIPTION}, "
                f"but are {width} wide."
            )
        corpus = sentences.corpus if sentences else str(config.corpus)
        provenance = known or _unknown_origin(config, corpus=corpus, split=split, width=width, dtype=dtype)
        plans.append(
            SplitPlan(
                folder=out,
                clips=tuple(sources[split].clips),
                faults=look.faults,
                num_steps=look.num_steps,
                provenance=provenance,
            )
        )
    return ImportPlan(splits=tuple(plans), without_row=tuple(without_row))


def _unknown_origin(config: ImportConfig, *, corpus: str, split: str, width: int, dtype: str) -> Provenance:
    """Return the provenance of features of which only a name is known."""
    name = str(config.encoder)
    return Provenance(
        encoder_fingerprint=imported_fingerprint(name),
        encoder_config={"imported_from": config.format, "name": name},
        level="frame",
        preprocessing={},
        frame_batch=0,
        compute_dtype=dtype,
        device_kind="unknown",
        corpus=corpus,
        split=split,
        feature_size=width,
        step_seconds=None,
        versions={"fla-llm": version("fla-llm")},
    )


def imported_fingerprint(name: str) -> str:
    """Return the fingerprint for an encoder of which only the name is known.

    >>> imported_fingerprint("clip-vit")[:8]
    '3ec2d686'
    """
    return hashlib.sha256(json.dumps(["imported", name]).encode()).hexdigest()


def _inspect(split: str, clips: list[ExternalClip]) -> _Inspection:
    """Open each clip of a split.

    Raises:
        DataError: none can be used.
    """
    faults: dict[RowKey, str] = {}
    kinds: dict[tuple[int, str], str] = {}
    total = 0
    for clip in progress(clips, desc=f"look at {split}", unit="clip"):
        try:
            # Every clip is opened before anything is written: a typing error in --suffix costs seconds, not a
            # cache.
            num_steps, width, dtype = inspect_clip(clip)
            if not clip.row.text.strip():
                raise DataError("Its sentence is empty.")
        except DataError as error:
            faults[row_key(clip.row)] = str(error)
            continue
        total += num_steps
        # One clip of each kind is enough for the message.
        kinds.setdefault((width, dtype), clip.row.id)
    if not kinds:
        first = f" {clips[0].row.id!r}: {faults[row_key(clips[0].row)]}" if clips else " There is none."
        raise DataError(
            f"A clip of {split} must have features that can be used, but none of {len(clips)} has.{first}\n"
            "Check the folder, --suffix and --split."
        )
    return _Inspection(faults=faults, num_steps=total, kinds=kinds)


def _common_kind(inspections: Mapping[str, _Inspection]) -> tuple[int, str]:
    """Return the width and number format of all clips.

    Raises:
        DataError: clips differ. The message names two clips.
    """
    seen = {kind: (split, id_) for split, look in inspections.items() for kind, id_ in look.kinds.items()}
    (width, dtype), *others = seen
    if others:
        named = [f"{split} {id_!r}: {size} {name}" for (size, name), (split, id_) in list(seen.items())[:2]]
        raise DataError(
            f"All features must have one width and number format, but differ: {', '.join(named)}.\n"
            "Import each kind under a name and into a cache of its own."
        )
    return width, dtype
