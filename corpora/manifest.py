"""The manifest of a corpus: JSON Lines, with a header and then one sample per line.

The header holds the name of the format, the corpus, the root folder of video paths, the number of samples per
split, and the overlap of splits. With the numbers per split the reader detects truncated files.
"""

import math
import os
from dataclasses import asdict, dataclass, field, replace
from functools import cached_property
from pathlib import Path
from typing import Any, TypeGuard, TypeVar

from ..core.config import config_from_dict
from ..core.errors import DataError, did_you_mean
from ..core.files import read_jsonl, write_jsonl
from ..core.sample import SPLITS, TASKS, Medium, Sample, Split
from ..core.text import find_unstorable
from ..poses.detector import PoseDetector
from ..video.clip import Clip
from .copies import Copies
from .layout import locate
from .overlap import Overlap, find_overlaps
from .release import count_splits, first_of_each_split

FORMAT = "fla-manifest-1"
_HEADER_KEYS = ("format", "corpus", "root", "counts")
_OPTIONAL_HEADER_KEYS = ("overlaps", "copies", "detector")
_TEXT_KEYS = ("id", "split", "text", "language")
_MEDIA: tuple[Medium, ...] = ("video", "poses")
_OPTIONAL_KEYS = (*_MEDIA, "references", "signer", "start_seconds", "end_seconds")
_KEYS = (*_TEXT_KEYS, "num_frames", "fps", *_OPTIONAL_KEYS, "task")
_CHOICES: dict[str, tuple[str, ...]] = {"split": SPLITS, "task": TASKS}
"""Keys with a few possible values."""
Record = TypeVar("Record")
_WORDS: dict[Medium, str] = {"video": "video", "poses": "pose file"}


@dataclass(frozen=True, kw_only=True)
class Manifest:
    """A corpus, in the form for all later stages."""

    corpus: str
    root: Path
    """Folder for relative paths in ``Sample.video`` and ``Sample.poses``."""
    samples: tuple[Sample, ...]
    source: Path | None = field(default=None, compare=False)
    """The file of the manifest. None: there is no file."""
    copies: Copies | None = None
    """Origin of the videos, if they are small copies of the released ones."""
    detector: PoseDetector | None = None
    """Detector of all pose files. None: unknown, or several."""

    @property
    def counts(self) -> dict[Split, int]:
        """Number of samples per split."""
        return count_splits(self.samples)

    @cached_property
    def overlaps(self) -> list[Overlap]:
        """Sentences and signers that splits share."""
        return find_overlaps(self.samples)

    def split(self, name: str) -> list[Sample]:
        """Return the samples of a split, in order.

        Raises:
            DataError: ``name`` is no split.
        """
        if name not in SPLITS:
            hint = did_you_mean(name, list(SPLITS))
            raise DataError(f"A split must be one of {', '.join(SPLITS)}, but is {name!r}.{hint}")
        return [sample for sample in self.samples if sample.split == name]

    def clip(self, sample: Sample) -> Clip:
        """Return the clip of ``sample``.

        Raises:
            DataError: as :meth:`file`.
        """
        return Clip(
            path=self.file(sample, "video"),
            start_seconds=sample.start_seconds,
            end_seconds=sample.end_seconds,
            fps=sample.fps,
        )

    def file(self, sample: Sample, medium: Medium) -> Path:
        """Return the path of a sample's video or pose file, where such a file can be.

        Raises:
            DataError: the sample has no such file, a relative path leaves the root, the root is no folder, or
                an absolute path does not exist. The error names the remedy for a corpus in another place on
                this machine.
        """
        place = _place(sample, medium)
        if os.path.isabs(place):
            if not os.path.exists(place):
                raise DataError(f"{place} does not exist.\n{self.remedy(sample, medium)}")
        elif not self.root.is_dir():
            raise DataError(
                f"The {_WORDS[medium]}s of the manifest must lie in {self.root}, but that is no folder.\n"
                f"{self.remedy(sample, medium)}"
            )
        return self.path(sample, medium)

    def path(self, sample: Sample, medium: Medium = "video") -> Path:
        """Return the path of a sample's video or pose file, which may not exist.

        Raises:
            DataError: the sample has no such file, or a relative path leaves the root.
        """
        return locate(self.root, _place(sample, medium))

    def remedy(self, sample: Sample, medium: Medium = "video") -> str:
        """Return the advice for a file that is absent on this machine."""
        if os.path.isabs(_place(sample, medium)):
            return (
                f"The manifest gives this {_WORDS[medium]} by an absolute path, which --root does not "
                "change.\n"
                "Run fla prepare on this machine, best with paths relative to the table's folder or --root."
            )
        return "Give --root DIR, the folder where they lie on this machine."


def write_manifest(path: Path, manifest: Manifest) -> Manifest:
    """Write a manifest atomically, with an absolute root. Lines leave out absent fields and the default task.

    Returns:
        The manifest, with ``path`` as its source.
    """
    header = {
        "format": FORMAT,
        "corpus": manifest.corpus,
        # Later commands may run in another folder.
        "root": os.path.abspath(manifest.root),
        "counts": manifest.counts,
        "overlaps": [asdict(overlap) for overlap in manifest.overlaps],
    }
    if manifest.copies is not None:
        header["copies"] = asdict(manifest.copies)
    if manifest.detector is not None:
        header["detector"] = asdict(manifest.detector)
    write_jsonl(path, [header, *(sample.to_dict() for sample in manifest.samples)])
    return replace(manifest, source=path)


def read_manifest(path: Path, *, root: Path | None = None, limit: int | None = None) -> Manifest:
    """Read a manifest.

    Args:
        path: a file written by ``fla prepare --out``.
        root: folder of the videos on this machine. None: the root in the header. The folder may be absent
            until a clip is requested.
        limit: number of samples to take from each split. None: all samples.

    Raises:
        DataError: the file is no manifest, is empty or truncated, a sample has a wrong key or value, or an id
            occurs twice in a split. The error names the line.
    """
    lines = read_jsonl(path)
    header = _read_header(path, lines)
    # Every line is checked before the limit: a truncated file is found in trial runs too.
    samples = [_read_sample(row, f"{path}, line {n}") for n, row in enumerate(lines[1:], 2)]
    _refuse_doubles(path, samples)
    counts = count_splits(samples)
    # A file cut at a line end is still valid JSON Lines: only the counts show the loss.
    if counts != header["counts"]:
        raise DataError(
            f"{path} must hold {header['counts']} samples by its first line, but holds {counts}: "
            "it was cut off or edited.\nRun: fla prepare"
        )
    if not samples:
        raise DataError(f"{path} holds no sample.\nRun: fla prepare")
    return Manifest(
        corpus=header["corpus"],
        root=Path(os.path.abspath(root or header["root"])),
        samples=tuple(first_of_each_split(samples, limit)),
        source=path,
        copies=_read_record(Copies, header, "copies", place=f"{path}, line 1"),
        detector=_read_record(PoseDetector, header, "detector", place=f"{path}, line 1"),
    )


def is_manifest(path: Path) -> bool:
    """Return whether ``path`` is a file with the header of a manifest."""
    if not path.is_file():
        return False
    with path.open("rb") as file:
        # A video given by mistake may have no line end for gigabytes.
        return FORMAT.encode() in file.readline(4096)


def _read_header(path: Path, lines: list[dict[str, Any]]) -> dict[str, Any]:
    if not lines:
        raise DataError(f"{path} must be a manifest, but is empty.\nRun: fla prepare")
    header = lines[0]
    if header.get("format") != FORMAT:
        found = repr(header["format"]) if "format" in header else "no 'format'"
        raise DataError(
            f"{path} must begin with a header of format {FORMAT!r}, but has {found}.\n"
            "Run: fla prepare, which writes manifests."
        )
    known = (*_HEADER_KEYS, *_OPTIONAL_HEADER_KEYS)
    _check_keys(header, known=known, required=_HEADER_KEYS, place=f"{path}, line 1")
    for key in ("corpus", "root"):
        if wanted := _text_fault(header[key]) if isinstance(header[key], str) else "text":
            raise DataError(f"{path}, line 1: '{key}' must be {wanted}, but is {header[key]!r}.")
    return header


def _read_record(kind: type[Record], header: dict[str, Any], key: str, *, place: str) -> Record | None:
    if key not in header:
        return None
    if not isinstance(header[key], dict):
        raise DataError(f"{place}: '{key}' must be an object, but is {header[key]!r}.")
    return config_from_dict(kind, header[key], origin=place)


def _read_sample(row: dict[str, Any], place: str) -> Sample:
    _check_keys(row, known=_KEYS, required=(*_TEXT_KEYS, "num_frames", "fps"), place=place)
    if all(row.get(medium) is None for medium in _MEDIA):
        raise DataError(f"{place} must have the key 'video' or 'poses', but has {', '.join(row)}.")
    for key, value in row.items():
        wanted = _fault(key, value)
        if wanted:
            known = list(_CHOICES.get(key, ()))
            hint = did_you_mean(value, known) if isinstance(value, str) else ""
            raise DataError(f"{place}: '{key}' must be {wanted}, but is {value!r}.{hint}")
    # JSON has lists alone, and a sample must not change.
    values: dict[str, Any] = row | {"references": tuple(row.get("references") or ())}
    return Sample(**values)


def _fault(key: str, value: Any) -> str | None:
    """Return the requirement of ``key`` that ``value`` does not meet, or None."""
    if value is None and key in _OPTIONAL_KEYS:
        return None
    if key in _CHOICES:
        return None if value in _CHOICES[key] else f"one of {', '.join(_CHOICES[key])}"
    if key in _TEXT_KEYS or key == "signer" or key in _MEDIA:
        return _text_fault(value)
    if key == "references":
        return None if isinstance(value, list) and not any(map(_text_fault, value)) else "a list of texts"
    if key == "num_frames":
        # type() and not isinstance(): True is an int to Python.
        return None if type(value) is int and value >= 1 else "a whole number of frames, at least 1"
    if key == "fps":
        return None if _is_number(value) and value > 0 else "a number of frames per second above 0"
    return None if _is_number(value) and value >= 0 else "a number of seconds"


def has_file(sample: Sample, medium: Medium) -> bool:
    """Return whether the manifest names a video or pose file of a sample."""
    return (sample.video if medium == "video" else sample.poses) is not None


def _place(sample: Sample, medium: Medium) -> str:
    """Return the path of a sample's file as the manifest gives it."""
    place = sample.video if medium == "video" else sample.poses
    if place is not None:
        return place
    remedy = {
        "video": "Clips with key points alone need an encoder of poses: --set encoder.kind=poses",
        "poses": "Run: fla prepare ... --poses DIR",
    }[medium]
    raise DataError(
        f"{sample.split} clip {sample.id!r} must have a {_WORDS[medium]}, but the manifest gives none.\n"
        f"{remedy}"
    )


def _text_fault(value: Any) -> str | None:
    if not (isinstance(value, str) and value.strip()):
        return "text that is not empty"
    found = find_unstorable(value)
    return f"without {found}" if found else None


def _is_number(value: Any) -> TypeGuard[float]:
    return isinstance(value, (int, float)) and not isinstance(value, bool) and math.isfinite(value)


def _check_keys(
    row: dict[str, Any], *, known: tuple[str, ...], required: tuple[str, ...], place: str
) -> None:
    for key in row:
        if key not in known:
            # A misspelt optional key would otherwise be lost without an error.
            raise DataError(f"{place} has the unknown key '{key}'.{did_you_mean(key, list(known))}")
    for key in required:
        if key not in row:
            raise DataError(f"{place} must have the key '{key}', but has {', '.join(row)}.")


def _refuse_doubles(path: Path, samples: list[Sample]) -> None:
    first: dict[tuple[str, str], int] = {}
    for line, sample in enumerate(samples, 2):
        key = (sample.split, sample.id)
        if key in first:
            raise DataError(
                f"{path}, line {line}: the id {sample.id!r} must occur once in {sample.split}, "
                f"but stands in line {first[key]} too."
            )
        first[key] = line
