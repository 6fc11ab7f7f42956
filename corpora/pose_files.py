"""Pose files of annotation rows: search by the id of a clip, check, and comparison with the videos."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from ..core.errors import DataError
from ..core.files import resolve_inside
from ..core.sample import Sample
from ..poses.normalise import THRESHOLD, normalise
from ..poses.reading import SUFFIXES, read_poses
from .config import Check
from .layout import place_in
from .release import Row

_SHOWN = 5


@dataclass(frozen=True, kw_only=True)
class PoseInfo:
    """Size of a pose file."""

    num_frames: int
    fps: float | None
    """Frames per second. None: unknown to the file."""


def find_poses(row: Row, *, root: Path, folder: Path | None) -> str | None:
    """Return the pose file of a row: the file that the annotation names, else the file named by the id.

    Args:
        row: the row.
        root: folder for relative paths of the annotation.
        folder: folder of pose files, with or without a folder for each split. None: no such folder.

    Returns:
        The path relative to ``root`` where the file lies inside, else absolute. None: no file is there.

    Raises:
        DataError: the id leads out of ``folder``.
    """
    if row.poses is not None or folder is None:
        return row.poses
    # Some releases sort the files by split, others keep all in one folder.
    for name in (row.id, f"{row.split}/{row.id}"):
        for suffix in SUFFIXES:
            path = resolve_inside(folder, f"{name}{suffix}")
            if path.is_file():
                return place_in(str(folder / f"{name}{suffix}"), root)
    return None


def check_poses(path: Path, *, check: Check) -> PoseInfo:
    """Read a pose file, and with ``decode`` look for the body.

    Raises:
        DataError: the file cannot be read, or shows no body.
    """
    clip = read_poses(path)
    if check == "decode":
        try:
            # A clip without a visible body would fail only in training, hours later.
            normalise(clip, method="uni-sign", threshold=THRESHOLD)
        except DataError as error:
            raise DataError(f"{path}: {error}") from error
    return PoseInfo(num_frames=len(clip), fps=clip.fps)


def pose_notes(
    samples: Sequence[Sample], pose_frames: Sequence[int | None], *, is_expected: bool
) -> list[str]:
    """Return notes on samples without pose files, and on files of other lengths than the videos.

    Args:
        samples: all samples.
        pose_frames: frames in the pose file of each sample. None: the sample has none.
        is_expected: whether every sample should have a pose file.
    """
    pairs = list(zip(samples, pose_frames, strict=True))
    without = [sample.id for sample, frames in pairs if frames is None]
    # A corpus without poses is no fault, and needs no note.
    if len(without) == len(pairs) and not is_expected:
        return []
    notes = [f"pose files: {len(pairs) - len(without)} of {len(pairs)} samples have one"]
    if without:
        notes.append(f"without a pose file ({len(without)}): {_shown(without)}")
    other = [
        f"{sample.id} ({frames} poses, {sample.num_frames} frames)"
        for sample, frames in pairs
        # Poses of a resampled or cut video would shift against the frames.
        if frames is not None and frames != sample.num_frames
    ]
    if other:
        notes.append(
            f"pose files with another number of frames than the video ({len(other)}): {_shown(other)}"
        )
    return notes


def _shown(names: list[str]) -> str:
    more = f" and {len(names) - _SHOWN} more" if len(names) > _SHOWN else ""
    return ", ".join(names[:_SHOWN]) + more
