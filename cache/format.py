"""Format of a feature cache: names of shards, and the records of a video and of the origin of features.

A cache is a folder of shards ``<split>-<i>-of-<n>.h5``. docs/cache-format.md describes the bytes.
"""

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any

from ..core.config import first_difference
from ..core.errors import CacheError
from ..core.sample import DEFAULT_TASK, SPLITS, Sample

# Also part of the checksum header, so that a reader need not open HDF5 to refuse a version.
FORMAT_VERSION = 1
FEATURE_DTYPE = "<f2"
"""Features are IEEE half precision, little-endian, on every machine."""

# The split names are spelled out: train-0-of-1.h5 of another program is still refused by its header.
_SHARD_NAME = re.compile(rf"({'|'.join(SPLITS)})-(\d+)-of-(\d+)\.h5")


@dataclass(frozen=True, kw_only=True)
class CacheRow:
    """One video of a cache, without its features."""

    id: str
    """Id of the sample. (id, view) is unique in a split."""
    text: str
    """Sentence, unchanged."""
    language: str
    """ISO 639-1 code of ``text``."""
    signer: str
    """Signer, empty where the corpus has none."""
    num_frames: int
    """Frames of the clip before thinning."""
    view: int = 0
    """0 for the clean pass, 1 and above for augmented passes over the same clip."""
    frame_offset: int = 0
    """First sampled frame (the phase). The HDF5 column is called ``offset``."""
    task: str = DEFAULT_TASK
    """``translate``, ``recognise`` or ``isolated``: what ``text`` is."""
    references: tuple[str, ...] = ()
    """Further correct sentences, unchanged."""

    @classmethod
    def of(cls, sample: Sample, *, view: int = 0, frame_offset: int = 0) -> "CacheRow":
        """Return the row of a pass over the clip of a sample."""
        return cls(
            id=sample.id, text=sample.text, language=sample.language, signer=sample.signer or "",
            num_frames=sample.num_frames, view=view, frame_offset=frame_offset, task=sample.task,
            references=sample.references,
        )  # fmt: skip


@dataclass(frozen=True, kw_only=True)
class Provenance:
    """Origin of the features of a shard. Equal provenance and equal videos give equal bytes."""

    encoder_fingerprint: str
    """SHA-256 over the config and weights of the encoder."""
    encoder_config: dict[str, Any]
    """Whole config of the encoder."""
    level: str
    """``sign`` (after the temporal module) or ``frame`` (before the module)."""
    preprocessing: dict[str, Any]
    """Settings from video to frames of the encoder: sizes, fit, normalisation, frame sampling."""
    frame_batch: int
    """Frames in a batch of the backbone."""
    compute_dtype: str
    """Number format of the computation, such as ``float32``."""
    device_kind: str
    """``cpu``, ``cuda`` or ``mps``."""
    corpus: str
    """Name of the corpus, as in the manifest."""
    split: str
    """``train``, ``dev`` or ``test``."""
    feature_size: int
    """D, the width of a feature."""
    step_seconds: float | None
    """Seconds between steps, or None where the videos of the split differ in frame rate."""
    versions: dict[str, str]
    """Versions of the packages with influence on feature values."""


def shard_name(split: str, index: int, count: int) -> str:
    """Return the file name of shard ``index`` (from 0) of ``count``.

    >>> shard_name("train", 0, 1)
    'train-0-of-1.h5'
    """
    return f"{split}-{index}-of-{count}.h5"


def parse_shard_name(name: str) -> tuple[str, int, int] | None:
    """Return (split, index, count) of a shard's file name, or None for another name.

    >>> parse_shard_name("dev-2-of-4.h5")
    ('dev', 2, 4)
    """
    match = _SHARD_NAME.fullmatch(name)
    return (match[1], int(match[2]), int(match[3])) if match else None


def partial_folder(shard: Path) -> Path:
    """Return the folder of a shard's journal, which exists while the shard is unfinished."""
    return shard.with_suffix(".partial")


def to_attributes(provenance: Provenance) -> dict[str, str | int | float]:
    """Return ``provenance`` as HDF5 attributes: dicts as JSON text, an absent value left out."""
    values = {field.name: getattr(provenance, field.name) for field in fields(provenance)}
    return {
        "format_version": FORMAT_VERSION,
        **{
            # Sorted keys: equal dicts in another order must give equal bytes.
            key: json.dumps(value, sort_keys=True, ensure_ascii=False) if isinstance(value, dict) else value
            for key, value in values.items()
            if value is not None
        },
    }


def from_attributes(attributes: Mapping[str, Any], *, origin: str) -> Provenance:
    """Return the provenance from HDF5 attributes, as :func:`to_attributes` gives them.

    Raises:
        CacheError: an attribute is missing, or the format has another version.
    """
    version = attributes.get("format_version")
    if version != FORMAT_VERSION:
        raise CacheError(f"{origin} must have format version {FORMAT_VERSION}, but has {version}.")
    # Absent step_seconds is a value: the videos differ in frame rate.
    needed = {field.name for field in fields(Provenance)} - {"step_seconds"}
    if missing := sorted(needed - set(attributes)):
        raise CacheError(f"{origin} must have the attribute {missing[0]!r}, but lacks it.")
    return Provenance(
        encoder_fingerprint=str(attributes["encoder_fingerprint"]),
        encoder_config=json.loads(attributes["encoder_config"]),
        level=str(attributes["level"]),
        preprocessing=json.loads(attributes["preprocessing"]),
        frame_batch=int(attributes["frame_batch"]),
        compute_dtype=str(attributes["compute_dtype"]),
        device_kind=str(attributes["device_kind"]),
        corpus=str(attributes["corpus"]),
        split=str(attributes["split"]),
        feature_size=int(attributes["feature_size"]),
        step_seconds=float(attributes["step_seconds"]) if "step_seconds" in attributes else None,
        versions=json.loads(attributes["versions"]),
    )


def provenance_difference(
    left: Provenance, right: Provenance, *, ignore: tuple[str, ...] = ()
) -> tuple[str, Any, Any] | None:
    """Return (dotted key, left value, right value) of the first difference, or None."""
    return first_difference(_as_json(left, ignore), _as_json(right, ignore))


def _as_json(provenance: Provenance, ignore: tuple[str, ...]) -> dict[str, Any]:
    """Return the fields after a round trip through JSON, in which tuples become lists."""
    kept = {key: value for key, value in vars(provenance).items() if key not in ignore}
    return json.loads(json.dumps(kept))
