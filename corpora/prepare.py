"""Preparation of a corpus: a manifest of the usable rows, and a list of the rejected rows."""

import os
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

from ..core.errors import ConfigError, DataError, did_you_mean
from ..core.sample import DEFAULT_TASK, SPLITS, TASKS, Sample, Split
from ..core.text import find_unstorable
from ..poses.detector import PoseDetector, read_detector
from . import csl_daily, how2sign, phoenix14t, table, uni_sign
from .config import PrepareConfig
from .layout import locate
from .manifest import Manifest
from .media import LookedAt, Search, look_at_all
from .pose_files import pose_notes
from .release import Rejected, Release, Row, count_splits, first_of_each_split
from .row_checks import check_rows

_READERS: dict[str, Callable[[Path, PrepareConfig], Release]] = {
    "phoenix14t": phoenix14t.read_release,
    "csl-daily": csl_daily.read_release,
    "how2sign": how2sign.read_release,
    "uni-sign": uni_sign.read_release,
    "table": table.read_release,
}
CORPORA = tuple(_READERS)


@dataclass(frozen=True, kw_only=True)
class Prepared:
    """Result of a preparation. Samples and rejected rows together are all annotation rows."""

    manifest: Manifest
    rejected: tuple[Rejected, ...]
    annotated: Mapping[Split, int]
    """Number of annotation rows, for splits with an annotation file."""
    official: Mapping[Split, int] | None
    """Clips per split, as published. None: a corpus of the user's own."""
    notes: tuple[str, ...]

    @property
    def empty_splits(self) -> tuple[Split, ...]:
        """Splits with an annotation file and without a usable row."""
        return tuple(split for split in self.annotated if not self.manifest.counts[split])

    @property
    def has_faults(self) -> bool:
        """Whether there is a fault other than known gaps of the release."""
        return not self.manifest.samples or bool(self.empty_splits) or any(row.fault for row in self.rejected)


def prepare(corpus: str, source: Path, *, config: PrepareConfig, limit: int | None = None) -> Prepared:
    """Read a release and open each video.

    Args:
        corpus: one of :data:`CORPORA`.
        source: the release's folder, or a table's file.
        config: settings.
        limit: number of rows to take from each split. None: all rows.

    Raises:
        ConfigError: no such corpus.
        DataError: the release or an annotation file cannot be read at all, or the path of its folder
            cannot be stored in a manifest.
    """
    # abspath and not resolve(): the manifest shows the path as the user wrote it, with links.
    source = Path(os.path.abspath(source))
    check_storable(source)
    if corpus not in _READERS:
        hint = did_you_mean(corpus, list(CORPORA))
        raise ConfigError(f"The corpus must be one of {', '.join(CORPORA)}, but is {corpus!r}.{hint}")
    if not source.exists():
        raise DataError(f"{source} must be the corpus {corpus} as released, but does not exist.")
    release = _READERS[corpus](source, config)
    check_storable(release.root)
    looked_at = _look(release, config, limit)
    kept = [(each.result, each.pose_frames) for each in looked_at if isinstance(each.result, Sample)]
    samples = [sample for sample, _ in kept]
    rejected = [each.result for each in looked_at if isinstance(each.result, Rejected)]
    pose_frames = [frames for _, frames in kept]
    in_rows = count_splits([*samples, *rejected])
    return Prepared(
        manifest=Manifest(
            corpus=corpus,
            root=release.root,
            samples=tuple(samples),
            detector=_detector(samples, root=release.root, folder=_pose_folder(config.poses)),
        ),  # fmt: skip
        rejected=tuple(rejected),
        # Rejected rows count too: usable and annotated numbers must add up.
        annotated={split: in_rows[split] for split in release.annotated},
        official=release.official,
        notes=(
            *release.notes,
            *_tasks(samples),
            *_shared_ids(samples),
            *_absolute_paths(samples),
            *pose_notes(samples, pose_frames, is_expected=config.poses is not None),
        ),
    )


def check_storable(folder: Path) -> None:
    """Refuse a folder whose path cannot be stored in a manifest.

    Raises:
        DataError: the path is not UTF-8.
    """
    if found := find_unstorable(str(folder)):
        raise DataError(
            f"{folder} must be a path in UTF-8, since the manifest holds it, but has {found}.\n"
            "Rename the folder, or link to it under another name: ln -s"
        )


def _look(release: Release, config: PrepareConfig, limit: int | None) -> list[LookedAt]:
    """Return the results of all rows, in the order of the files."""
    rows = check_rows(first_of_each_split(release.rows, limit), is_published=release.is_published)
    readable = [row for row in rows if isinstance(row, Row)]
    search = Search(root=release.root, poses=_pose_folder(config.poses), check=config.check, fps=config.fps)
    # Only readable rows are opened, and results return to their places among the rejected rows.
    looked_at = iter(look_at_all(readable, search=search, workers=config.workers))
    return [next(looked_at) if isinstance(row, Row) else LookedAt(result=row) for row in rows]


def _pose_folder(given: str | None) -> Path | None:
    """Return the folder of pose files.

    Raises:
        DataError: the folder does not exist, or its path cannot be stored in a manifest.
    """
    if given is None:
        return None
    folder = Path(os.path.abspath(given))
    check_storable(folder)
    if not folder.is_dir():
        raise DataError(f"--poses must be the folder of pose files, but {folder} is none.")
    return folder


def _detector(samples: list[Sample], *, root: Path, folder: Path | None) -> PoseDetector | None:
    """Return the detector of all pose files, if ``fla poses`` wrote their folder."""
    files = [locate(root, sample.poses) for sample in samples if sample.poses is not None]
    # A row may name a pose file of its own, of which nothing is known.
    if folder is None or not all(file.is_relative_to(folder) for file in files):
        return None
    return read_detector(folder)


def _tasks(samples: list[Sample]) -> list[str]:
    """Return a note on the numbers of samples by task, unless all are translations."""
    counts = {task: sum(sample.task == task for sample in samples) for task in TASKS}
    if counts[DEFAULT_TASK] == len(samples):
        return []
    return [f"tasks: {', '.join(f'{count} {task}' for task, count in counts.items() if count)}"]


def _shared_ids(samples: list[Sample]) -> list[str]:
    """Return a note on ids in more than one split: the same clip may be in training and test."""
    splits: dict[str, list[str]] = {}
    for sample in samples:
        splits.setdefault(sample.id, []).append(sample.split)
    # Five ids show the kind of fault, and a long list would hide the other notes.
    shared = {name: found for name, found in splits.items() if len(found) > 1}
    if not shared:
        return []
    shown = [f"{name} ({', '.join(s for s in SPLITS if s in found)})" for name, found in shared.items()]
    more = f" and {len(shown) - 5} more" if len(shown) > 5 else ""
    return [f"ids in more than one split: {', '.join(shown[:5])}{more}"]


def _absolute_paths(samples: list[Sample]) -> list[str]:
    """Return a note on files outside the root, which ``--root`` of later commands does not change."""
    videos, poses = (
        sum(place is not None and os.path.isabs(place) for place in places)
        for places in ([sample.video for sample in samples], [sample.poses for sample in samples])
    )
    counts = {"videos": videos, "pose files": poses}
    return [
        f"{name} by absolute paths, which --root does not change: {count}"
        for name, count in counts.items()
        if count
    ]
