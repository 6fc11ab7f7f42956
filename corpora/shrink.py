"""Small copies of the videos of a manifest, with a manifest of the copies.

A copy gets its name when it is whole. So the same command continues a run that was stopped anywhere, and the
folder is the same, byte for byte, as after one run.
"""

import hashlib
import json
import logging
import re
import shutil
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import asdict, dataclass, replace
from functools import partial
from pathlib import Path, PurePosixPath
from typing import Any

from ..cache.lock import FolderLock
from ..core.errors import DataError
from ..core.files import atomic_write, read_json, sync_folder, visible, write_json, write_jsonl
from ..core.progress import progress
from ..core.sample import Sample
from ..core.signals import Interrupted
from ..video.clip import Clip
from ..video.probing import count_frames
from ..video.small_copy import write_copy
from .config import ShrinkConfig
from .copies import Copies, copies_by
from .manifest import Manifest, has_file, write_manifest
from .release import Rejected

logger = logging.getLogger(__name__)

MANIFEST, REJECTED, RECORD = "manifest.jsonl", "manifest.jsonl.rejected.jsonl", "copies.json"
VIDEOS = "videos"
UNFINISHED = ".unfinished"
"""Folder of copies that are being written, inside the folder of the copies."""


@dataclass(frozen=True, kw_only=True)
class Shrunk:
    """Result of a run. Copied and rejected clips together are all clips of the manifest."""

    manifest: Manifest
    """The copies."""
    path: Path
    """File of the manifest."""
    rejected: tuple[Rejected, ...]
    """Clips that cannot be copied."""
    earlier: int
    """Copies of earlier runs."""
    video_bytes: int
    """Bytes of all copies."""

    def to_dict(self) -> dict[str, Any]:
        """Return the result as JSON values."""
        return {
            "manifest": str(self.path) if self.manifest.samples else None,
            "copied": len(self.manifest.samples),
            "earlier": self.earlier,
            "frames": sum(sample.num_frames for sample in self.manifest.samples),
            "bytes": self.video_bytes,
            "rejected": [asdict(row) for row in self.rejected],
        }

    def describe(self) -> str:
        """Return the result as lines for people."""
        content = self.to_dict()
        earlier = f", {self.earlier} of them in earlier runs" if self.earlier else ""
        lines = [
            f"{content['copied']} clips copied{earlier}: {content['frames']} frames, "
            f"{self.video_bytes / 1e6:.1f} MB"
        ]
        if self.rejected:
            lines.append(f"{len(self.rejected)} clips are rejected, all in {self.path.with_name(REJECTED)}:")
            lines += [f"  {row.split}  {row.id}  {row.detail}" for row in self.rejected]
        lines.append(
            f"wrote {self.path}" if self.manifest.samples else "no clip can be copied: no manifest is written"
        )
        return "\n".join(lines)


def check_shrink(manifest: Manifest, out: Path, *, config: ShrinkConfig) -> None:
    """Refuse copies that cannot be made.

    Raises:
        DataError: the manifest is of copies already, the folder of its videos is absent, or ``out`` holds
            copies by other settings or other files.
    """
    if manifest.copies is not None:
        raise DataError(
            f"The manifest must be of the released videos, but is of {manifest.copies}.\n"
            "Give the manifest that fla prepare wrote."
        )
    filmed = [sample for sample in manifest.samples if has_file(sample, "video")]
    if not any(manifest.path(sample).exists() for sample in filmed):
        first = (filmed or manifest.samples)[0]
        manifest.clip(first)  # raises the more exact error for an absent root
        raise DataError(
            f"The videos must be where the manifest says, but none is: {manifest.path(first)} does not "
            f"exist.\n{manifest.remedy(first)}"
        )
    _check_out(out, copies_by(config))


def shrink(manifest: Manifest, out: Path, *, config: ShrinkConfig) -> Shrunk:
    """Copy each clip of a manifest, and write the manifest of the copies.

    Args:
        manifest: the clips.
        out: folder of the copies, new or of an earlier run with the same settings.
        config: settings.

    Raises:
        DataError: see :func:`check_shrink`.
        CacheError: another process writes into the folder.
        OSError: the disk is full.
    """
    check_shrink(manifest, out, config=config)
    with _work_folder(out) as work:
        write_json(out / RECORD, asdict(copies_by(config)))
        results, earlier = _copy_all(manifest, out, work, config=config)
    samples = tuple(result for result in results if isinstance(result, Sample))
    copied = Manifest(
        corpus=manifest.corpus, root=out.absolute(), samples=samples, copies=copies_by(config),
        detector=manifest.detector,
    )  # fmt: skip
    result = Shrunk(
        manifest=copied,
        path=out / MANIFEST,
        rejected=tuple(result for result in results if isinstance(result, Rejected)),
        earlier=earlier,
        video_bytes=sum(copied.path(sample).stat().st_size for sample in samples),
    )
    _write_lists(result, out)
    return result


def copy_path(sample: Sample) -> str:
    """Return the path of a copy in the folder of the copies.

    The name shows the id as far as file names can. The digest tells clips apart whose ids look alike or
    differ in case only, and a clip whose video or times were changed since.

    >>> clip = {"split": "dev", "video": "v.mp4", "text": "x", "language": "de", "num_frames": 1, "fps": 25.0}
    >>> copy_path(Sample(id="../a b", **clip))
    'videos/dev/a_b-42b5c73726a0.mp4'
    """
    origin = [sample.id, sample.video, sample.start_seconds, sample.end_seconds]
    digest = hashlib.sha256(json.dumps(origin).encode()).hexdigest()[:12]
    shown = re.sub(r"[^A-Za-z0-9.-]+", "_", sample.id).strip("._-")[:80]
    name = "-".join(filter(None, [shown, digest]))
    return str(PurePosixPath(VIDEOS, sample.split, f"{name}.mp4"))


def _copy_all(
    manifest: Manifest, out: Path, work: Path, *, config: ShrinkConfig
) -> tuple[list[Sample | Rejected], int]:
    """Return the copy of each sample, or why there is none, and the number of copies of earlier runs."""
    there = sum((out / copy_path(sample)).exists() for sample in manifest.samples)
    # Threads are enough: FFmpeg and Pillow work without Python's lock.
    pool = ThreadPoolExecutor(config.num_workers)
    try:
        copies = pool.map(
            partial(_copy, manifest=manifest, out=out, work=work, config=config), manifest.samples
        )
        bar = progress(copies, desc="copying clips", total=len(manifest.samples), unit="clip")
        return list(bar), there
    except Interrupted:
        logger.warning(f"Finished copies stay in {out}: run the same command again to go on.")
        raise
    finally:
        # Otherwise Ctrl-C waits for all queued clips.
        pool.shutdown(cancel_futures=True)


def _copy(
    sample: Sample, *, manifest: Manifest, out: Path, work: Path, config: ShrinkConfig
) -> Sample | Rejected:
    """Return the sample of the copy, which is written if there is none, or the rejected sample."""
    relative = copy_path(sample)
    target = out / relative
    try:
        frames = _count_copied(target) or _write(manifest.clip(sample), target, work, config=config)
    except DataError as error:
        detail = " ".join(str(error).split())
        return Rejected(id=sample.id, split=sample.split, reason="video cannot be copied", detail=detail)
    # Pose files stay where they are, which is outside the root of the copies.
    poses = None if sample.poses is None else str(manifest.path(sample, "poses").absolute())
    return replace(
        sample, video=relative, num_frames=frames, poses=poses, start_seconds=None, end_seconds=None
    )


def _count_copied(target: Path) -> int:
    """Return the number of frames of a copy of an earlier run, or 0 if there is none that can be read."""
    try:
        return count_frames(Clip(path=target)) if target.exists() else 0
    except DataError:
        # A disk may have lost what it had confirmed: the copy is written again.
        return 0


def _write(clip: Clip, target: Path, work: Path, *, config: ShrinkConfig) -> int:
    finished = work / target.name
    with atomic_write(finished) as temporary:
        frames = write_copy(clip, temporary, settings=config)
    target.parent.mkdir(parents=True, exist_ok=True)
    finished.replace(target)
    sync_folder(target.parent)
    return frames


@contextmanager
def _work_folder(out: Path) -> Iterator[Path]:
    """Yield the folder for unfinished copies, locked and empty, and remove it at the end."""
    work = out / UNFINISHED
    lock = FolderLock(work)
    try:
        # A kill leaves temporary files of the copies here, and those of the lists in the folder itself.
        for left in [*work.iterdir(), *out.glob(".*.tmp")]:
            if left != lock.path:
                left.unlink()
        yield work
    finally:
        shutil.rmtree(work, ignore_errors=True)
        lock.release()


def _check_out(out: Path, copies: Copies) -> None:
    if not out.exists():
        return
    if not out.is_dir():
        raise DataError(f"--out must be a folder, but {out} is a file.")
    if not (out / RECORD).exists():
        # An earlier run that was stopped before its first file leaves hidden names alone.
        if visible(out.iterdir()):
            raise DataError(
                f"--out must be a new folder or one of small copies, but {out} holds other files."
            )
        return
    found, wanted = read_json(out / RECORD), asdict(copies)
    if found != wanted:
        raise DataError(
            f"{out} must hold {copies}, but its {RECORD} says {found}, not {wanted}.\n"
            "Give the settings as they were, or another --out."
        )


def _write_lists(result: Shrunk, out: Path) -> None:
    # Without a copy, an earlier manifest is worth more than an empty one.
    if result.manifest.samples:
        write_manifest(result.path, result.manifest)
    if result.rejected:
        write_jsonl(out / REJECTED, (asdict(row) for row in result.rejected))
    else:
        (out / REJECTED).unlink(missing_ok=True)
