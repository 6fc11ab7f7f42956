"""Features that other code made, as a cache: looked at first, then written as an extraction writes.

A clip whose features cannot be used is left out and listed with its reason, never dropped silently.
"""

import hashlib
import json
import os
from collections.abc import Mapping
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path

from ..core.errors import ConfigError, DataError
from ..core.progress import progress
from ..core.sample import SPLITS
from ..corpora.manifest import Manifest
from .foreign import ForeignClip, look_at
from .foreign_folder import clips_in_folder, files_without_row
from .format import CacheRow, Provenance, shard_name
from .import_config import ImportConfig
from .signjoey import read_signjoey


@dataclass(frozen=True, kw_only=True)
class SplitPlan:
    """What will be imported of a split."""

    folder: Path
    """The cache."""
    clips: tuple[ForeignClip, ...]
    """All its clips, in order."""
    faults: Mapping[str, str]
    """Why a clip, by its id, cannot be used."""
    num_steps: int
    """Steps of the others."""
    provenance: Provenance
    """What the shard will say of its making."""

    @property
    def path(self) -> Path:
        """The shard's file."""
        return self.folder / shard_name(self.provenance.split, 0, 1)

    @property
    def rows(self) -> list[CacheRow]:
        """What the cache will tell of each clip."""
        return [clip.row for clip in self.clips]


@dataclass(frozen=True, kw_only=True)
class ImportPlan:
    """An import that was looked at and can begin."""

    splits: tuple[SplitPlan, ...]
    """What will be imported."""
    without_row: tuple[str, ...]
    """Files in the source folder that no row of the manifest asks for."""


@dataclass(frozen=True, kw_only=True)
class _Look:
    """What was seen of a split's clips."""

    faults: Mapping[str, str]
    num_steps: int
    kinds: Mapping[tuple[int, str], str]
    """(D, number format) of the usable clips, and the first clip's id of each."""


def plan_import(source: Path, *, out: Path, config: ImportConfig, manifest: Manifest | None) -> ImportPlan:
    """Look at all that an import would read, and write nothing.

    Args:
        source: the folder of files, or signjoey's file.
        out: the cache's folder.
        config: what the files do not say.
        manifest: the sentences; None for signjoey's file, which has them.

    Raises:
        ConfigError: there is no manifest where one is needed, or one where none is.
        DataError: the source cannot be read, none of a split's clips can be used, or clips differ in
            width or number format.
    """
    source = Path(os.path.abspath(source))
    clips, without_row = _find(source, config, manifest)
    looks = {split: _look(split, found) for split, found in clips.items()}
    width, dtype = _common_kind(looks)
    plans = [
        SplitPlan(
            folder=out,
            clips=tuple(clips[split]),
            faults=look.faults,
            num_steps=look.num_steps,
            provenance=Provenance(
                encoder_fingerprint=imported_fingerprint(config.encoder),
                encoder_config={"imported_from": config.format, "name": config.encoder},
                level="frame",
                preprocessing={},
                frame_batch=0,
                compute_dtype=dtype,
                device_kind="unknown",
                corpus=manifest.corpus if manifest else str(config.corpus),
                split=split,
                feature_size=width,
                step_seconds=None,
                versions={"fla-llm": version("fla-llm")},
            ),
        )
        for split, look in looks.items()
    ]
    return ImportPlan(splits=tuple(plans), without_row=tuple(without_row))


def imported_fingerprint(name: str) -> str:
    """Return what stands for an encoder's fingerprint where only its name is known.

    >>> imported_fingerprint("clip-vit")[:8]
    '3ec2d686'
    """
    return hashlib.sha256(json.dumps(["imported", name]).encode()).hexdigest()


def _find(
    source: Path, config: ImportConfig, manifest: Manifest | None
) -> tuple[dict[str, list[ForeignClip]], list[str]]:
    """Return the clips of each split, and the files that belong to none."""
    if config.format == "signjoey":
        if manifest is not None:
            raise ConfigError(
                "--manifest must not be given for a signjoey file, which has the sentences itself."
            )
        split = str(config.split)
        return {split: read_signjoey(source, split=split, language=str(config.language))}, []
    if manifest is None:
        raise ConfigError(f"--manifest must be given for {config.format} files, which hold no sentences.")
    splits = [config.split] if config.split else [split for split in SPLITS if manifest.split(split)]
    place = {"ending": f".{config.format}", "suffix": config.suffix}
    clips = {split: clips_in_folder(source, manifest, split=split, **place) for split in splits}
    return clips, files_without_row(source, manifest, **place)


def _look(split: str, clips: list[ForeignClip]) -> _Look:
    """Open each clip of a split.

    Raises:
        DataError: none can be used.
    """
    faults: dict[str, str] = {}
    kinds: dict[tuple[int, str], str] = {}
    total = 0
    for clip in progress(clips, desc=f"look at {split}", unit="clip"):
        try:
            if not clip.row.text.strip():
                raise DataError("Its sentence is empty.")
            num_steps, width, dtype = look_at(clip)
        except DataError as error:
            faults[clip.row.id] = str(error)
            continue
        total += num_steps
        kinds.setdefault((width, dtype), clip.row.id)
    if not kinds:
        first = f" {clips[0].row.id!r}: {faults[clips[0].row.id]}" if clips else " There is none."
        raise DataError(
            f"A clip of {split} must have features that can be used, but none of {len(clips)} has.{first}\n"
            "Check the folder, --suffix and --split."
        )
    return _Look(faults=faults, num_steps=total, kinds=kinds)


def _common_kind(looks: Mapping[str, _Look]) -> tuple[int, str]:
    """Return the width and number format of all clips.

    Raises:
        DataError: they differ; it names two clips that do.
    """
    seen = {kind: (split, id_) for split, look in looks.items() for kind, id_ in look.kinds.items()}
    (width, dtype), *others = seen
    if others:
        named = [f"{split} {id_!r}: {size} {name}" for (size, name), (split, id_) in list(seen.items())[:2]]
        raise DataError(
            f"All features must have one width and number format, but differ: {', '.join(named)}.\n"
            "Import each kind under a name and into a cache of its own."
        )
    return width, dtype
