"""Plan of a detection: clips, files and the record of the folder, and the checks before the first clip."""

from dataclasses import dataclass
from functools import cached_property
from importlib.metadata import version
from pathlib import Path
from typing import Any

from ..core.config import first_difference
from ..core.errors import DataError
from ..core.files import read_json, visible
from ..core.sample import Sample
from ..corpora.manifest import Manifest, has_file
from ..poses.detector import FORMAT, RECORD
from ..video.frames import FRAME_VERSION
from .config import DetectConfig
from .detector import Detector
from .local import LocalDetector
from .pool import DetectorPool


@dataclass(frozen=True, kw_only=True)
class Detection:
    """Detection of this process: manifest, folder, shard, detector and settings."""

    manifest: Manifest
    out: Path
    """Folder of the pose files."""
    splits: tuple[str, ...] = ()
    """Splits to work on. Empty: all."""
    shard: tuple[int, int] = (0, 1)
    """(i, n): every n-th clip of a split, from the i-th."""
    detector: LocalDetector
    config: DetectConfig = DetectConfig()
    limit: int | None = None
    """Number of clips taken from each split, in a trial."""

    @cached_property
    def samples(self) -> list[Sample]:
        """Clips of the shard.

        Raises:
            DataError: no sample of these splits is in the manifest.
        """
        # Every n-th clip, as in an extraction: the lengths of a corpus often rise or fall.
        index, count = self.shard
        splits = self.splits or tuple(split for split, number in self.manifest.counts.items() if number)
        found = [sample for split in splits for sample in self.manifest.split(split)[index::count]]
        if not found and index == 0:
            raise DataError(f"The manifest must have clips in {', '.join(splits)}, but has none.")
        return found

    @property
    def manifest_path(self) -> Path:
        """File of the manifest with pose files. A trial has a file of its own."""
        trial = "" if self.limit is None else f"-first-{self.limit}"
        return self.out / f"manifest{trial}.jsonl"

    def start(self) -> Detector:
        """Start a detector.

        Raises:
            ConfigError: the detector does not start.
        """
        return self.detector.start(self.config)


def check_detection(detection: Detection) -> int:
    """Refuse a detection that cannot end well, and return the number of clips without a pose file.

    Raises:
        DataError: no video exists, or the folder holds other files or key points of other settings.
        ConfigError: the detector does not start.
    """
    pool = DetectorPool(detection.start)
    try:
        check_folder(detection, pool.versions)
    finally:
        pool.close()
    return sum(not is_written(detection.out, sample) for sample in detection.samples)


def pose_path(out: Path, sample: Sample) -> Path:
    """Return the pose file of a clip: ``SPLIT/ID.npz``, as ``fla prepare --poses`` finds it.

    Raises:
        DataError: the id is no path inside the folder.
    """
    # Two ids must not share a file, as a/../b and b would.
    if any(part in ("", ".", "..") for part in sample.id.split("/")):
        raise DataError(f"an id must be a name for a file, but is {sample.id!r}")
    return out / sample.split / f"{sample.id}.npz"


def is_written(out: Path, sample: Sample) -> bool:
    """Return whether a clip has a pose file."""
    try:
        return pose_path(out, sample).is_file()
    except (DataError, OSError):  # such as a name that is too long
        return False


def check_folder(detection: Detection, versions: dict[str, str]) -> dict[str, Any]:
    """Check videos and folder, and return the record of the folder.

    Raises:
        DataError: no video exists, or the folder holds other files or key points of other settings.
    """
    manifest, out = detection.manifest, detection.out
    filmed = [sample for sample in detection.samples if has_file(sample, "video")]
    if detection.samples and not any(manifest.path(sample).exists() for sample in filmed):
        first = (filmed or detection.samples)[0]
        manifest.clip(first)  # raises the more exact error
        raise DataError(f"{manifest.path(first)} must exist, but no video does.\n{manifest.remedy(first)}")
    # Everything with an effect on the numbers in a pose file.
    kind, digest = detection.detector.kind, detection.detector.weights_digest
    record = {
        "format": FORMAT, "detector": kind.name, "corpus": manifest.corpus,
        "settings": detection.config.for_record(kind),
        "versions": versions | {"av": version("av")}, "frame_version": FRAME_VERSION,
        **({"weights": digest} if digest else {}),
    }  # fmt: skip
    if not (out / RECORD).exists():
        if out.exists() and visible(out.iterdir()):
            raise DataError(f"--out must be a new folder or one of fla poses, but {out} holds other files.")
        return record
    if difference := first_difference(read_json(out / RECORD), record):
        key, there, now = difference
        raise DataError(
            f"{out} holds key points made in another way: {key} is {there!r} there and would be "
            f"{now!r} now.\n"
            "Give the settings as they were, or another --out."
        )
    return record
