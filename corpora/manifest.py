"""The manifest of a corpus: JSON Lines, with a header and then one sample per line.

The header holds the name of the format, the corpus, the root folder of video paths, the number of samples per
split, and the overlap of splits. With the numbers per split the reader detects truncated files.
"""

import os
from dataclasses import asdict, dataclass, field, replace
from functools import cached_property
from pathlib import Path
from typing import Any, TypeVar

from ..core.config import config_from_dict
from ..core.errors import DataError, did_you_mean
from ..core.files import read_jsonl, write_jsonl
from ..core.sample import SPLITS, Medium, Sample, Split
from ..poses.detector import PoseDetector
from ..video.clip import Clip
from .copies import Copies
from .layout import locate
from .manifest_lines import check_keys, read_sample, text_fault
from .overlap import Overlap, find_overlaps
from .release import count_splits, first_of_each_split

FORMAT = "fla-manifest-1"
_HEADER_KEYS = ("format", "corpus", "root", "counts")
_OPTIONAL_HEADER_KEYS = ("overlaps", "copies", "detector")
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
    samples = [read_sample(row, f"{path}, line {n}") for n, row in enumerate(lines[1:], 2)]
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
    check_keys(header, known=known, required=_HEADER_KEYS, place=f"{path}, line 1")
    for key in ("corpus", "root"):
        if wanted := text_fault(header[key]) if isinstance(header[key], str) else "text":
            raise DataError(f"{path}, line 1: '{key}' must be {wanted}, but is {header[key]!r}.")
    return header


def _read_record(kind: type[Record], header: dict[str, Any], key: str, *, place: str) -> Record | None:
    if key not in header:
        return None
    if not isinstance(header[key], dict):
        raise DataError(f"{place}: '{key}' must be an object, but is {header[key]!r}.")
    return config_from_dict(kind, header[key], origin=place)


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
