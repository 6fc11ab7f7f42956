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
from typing import NamedTuple

from ..cache.format import CacheRow, Provenance, shard_name
from ..core.errors import ConfigError, DataError
from ..core.progress import progress, say
from ..core.sample import SPLITS
from .export import DESCRIPTION
from .export_reader import Export
from .external import ExternalClip, inspect_clip
from .external_folder import clips_in_folder, files_without_row
from .import_config import ImportConfig, Sentences
from .signjoey import read_signjoey

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


class _SplitSource(NamedTuple):
    """Clips of a split, and the origin of the features where the source describes the origin."""

    clips: list[ExternalClip]
    provenance: Provenance | None = None


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
    source = Path(os.path.abspath(source))
    sources, without_row = _find(source, config, sentences)
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


def _find(
    source: Path, config: ImportConfig, sentences: Sentences | None
) -> tuple[dict[str, _SplitSource], list[str]]:
    """Return the clips of each split, and the unlisted files."""
    if config.format == "signjoey":
        if sentences is not None:
            raise ConfigError(
                "--manifest must not be given for a signjoey file, which has the sentences itself."
            )
        split = str(config.split)
        return {split: _SplitSource(read_signjoey(source, split=split, language=str(config.language)))}, []
    if export := Export.find(source):
        return _find_exported(export, config, sentences)
    if config.format == "safetensors":
        raise ConfigError(
            f"{source} must be a folder that fla cache export wrote, but holds no such {DESCRIPTION}.\n"
            "Features of other code are imported from .npy or .pt files."
        )
    if sentences is None:
        raise ConfigError(f"--manifest must be given for {config.format} files, which hold no sentences.")
    if config.encoder is None:
        raise ConfigError(f"--encoder must be given for {config.format} files: your name for their origin.")
    splits = [config.split] if config.split else [split for split in SPLITS if sentences.split(split)]
    place = {"ending": f".{config.format}", "suffix": config.suffix}
    clips = {
        split: _SplitSource(clips_in_folder(source, sentences, split=split, **place)) for split in splits
    }
    return clips, files_without_row(source, sentences, **place)


def _find_exported(
    export: Export, config: ImportConfig, sentences: Sentences | None
) -> tuple[dict[str, _SplitSource], list[str]]:
    """Return the splits of an export, and the unlisted files."""
    for option, value, expected in [
        ("--format", config.format, export.layout),
        ("--suffix", config.suffix, ""),
    ]:
        if value != expected:
            raise ConfigError(
                f"{option} must be {expected!r} for {export.folder}, which fla cache export wrote, "
                f"but is {value!r}."
            )
    if config.encoder is not None or sentences is not None:
        say(f"--encoder and --manifest are not used: {export.folder / DESCRIPTION} describes the features.")
    found = {split: export.read(split) for split in ([config.split] if config.split else export.splits)}
    listed = frozenset[str]().union(*(export.read(split).files for split in export.splits))
    files = {path.relative_to(export.folder).as_posix() for path in export.folder.rglob(f"*.{export.layout}")}
    sources = {split: _SplitSource(part.clips, part.provenance) for split, part in found.items()}
    return sources, sorted(files - listed)


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
            num_steps, width, dtype = inspect_clip(clip)
            if not clip.row.text.strip():
                raise DataError("Its sentence is empty.")
        except DataError as error:
            faults[row_key(clip.row)] = str(error)
            continue
        total += num_steps
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
