"""Checks of the files of each annotation row: path, readability, number of frames."""

from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

from ..core.errors import DataError
from ..core.progress import progress
from ..core.sample import Sample
from ..video import Clip, probe
from ..video.clip import ClipInfo
from .config import Check
from .layout import locate
from .pose_files import check_poses, find_poses
from .release import Rejected, Row

_CHECK_SIZE = 16  # pixels a side: the cost of decoding is the same, and the frames take little memory


@dataclass(frozen=True, kw_only=True)
class LookedAt:
    """Result of the checks of a row."""

    result: Sample | Rejected
    pose_frames: int | None = None
    """Frames in the pose file. None: the row has no pose file."""


@dataclass(frozen=True, kw_only=True)
class Search:
    """Places and thoroughness of the checks."""

    root: Path
    """Folder for relative paths of rows."""
    poses: Path | None = None
    """Folder of pose files that are named by the ids of the clips."""
    check: Check = "headers"
    fps: float | None = None
    """Frames per second of pose files without a video, where no file says it."""


def look_at_all(rows: Sequence[Row], *, search: Search, workers: int) -> list[LookedAt]:
    """Return the result of each row, in order."""
    pool = ThreadPoolExecutor(workers)  # threads are enough: FFmpeg and the disk release the GIL
    try:
        found = pool.map(lambda row: look_at(row, search=search), rows)
        return list(progress(found, desc="looking at videos", total=len(rows), unit="clip"))
    finally:
        pool.shutdown(cancel_futures=True)  # otherwise Ctrl-C waits for all queued clips


def look_at(row: Row, *, search: Search) -> LookedAt:
    """Return the sample of a row, or the rejected row."""
    medium = "pose file"
    try:
        place = find_poses(row, root=search.root, folder=search.poses)
        poses = check_poses(locate(search.root, place), check=search.check) if place else None
        medium = "video"
        video = _find(row, search.root)
        info = _look_at_video(row, video, search) if video else None
    except (DataError, OSError) as error:  # OSError: no permission, or a name too long
        return LookedAt(result=row.reject(f"{medium} cannot be used", " ".join(str(error).split())))
    if video is None and place is None:
        return LookedAt(result=_without_video(row))
    # The frame rate in a video file is measured. The table's rate is for folders of pictures.
    fps = (info.fps if info else poses.fps if poses else None) or row.fps or (search.fps if poses else None)
    if fps is None:
        detail = f"{video or place} does not say it; give a column fps or --set fps=N"
        return LookedAt(result=row.reject("no frame rate", detail))
    frames = info.num_frames if info else poses.num_frames if poses else 0
    sample = _sample(row, video=video, poses=place, num_frames=frames, fps=fps)
    return LookedAt(result=sample, pose_frames=poses.num_frames if poses else None)


def _find(row: Row, root: Path) -> str | None:
    # Releases and copies of them differ in folders, so several places are tried.
    return next((place for place in row.places if locate(root, place).exists()), None)


def _without_video(row: Row) -> Rejected:
    if row.missing_list is not None:
        return row.reject("video never released", f"listed in {row.missing_list}", fault=False)
    return row.reject("no video", f"tried {', '.join(row.places)}" if row.places else "the row names none")


def _look_at_video(row: Row, place: str, search: Search) -> ClipInfo:
    clip = Clip(path=locate(search.root, place), start_seconds=row.start_seconds, end_seconds=row.end_seconds)
    info = probe(clip)
    if search.check == "decode":
        _decode(clip, num_frames=info.num_frames)
    return info


def _sample(row: Row, *, video: str | None, poses: str | None, num_frames: int, fps: float) -> Sample:
    return Sample(
        id=row.id, split=row.split, video=video, poses=poses, text=row.text, language=row.language,
        num_frames=num_frames, fps=fps, signer=row.signer,
        start_seconds=row.start_seconds, end_seconds=row.end_seconds, task=row.task,
        references=row.references,
    )  # fmt: skip


def _decode(clip: Clip, *, num_frames: int) -> None:
    """Decode every frame.

    Raises:
        DataError: a frame cannot be decoded, or the number of decoded frames is not ``num_frames``.
    """
    from ..video.frames import decode_all

    # A header may count frames that the file no longer holds.
    decoded = len(decode_all(clip, size=_CHECK_SIZE, fit="stretch"))
    if decoded != num_frames:
        raise DataError(f"{clip.path} must hold {num_frames} frames, but decodes to {decoded}.")
