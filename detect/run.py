"""Detection: each clip is decoded, the frames go to a detector, and a pose file is written.

A pose file gets its name when it is whole. So the same command continues a run that was stopped anywhere.
"""

import errno
import fcntl
import logging
import time
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

from ..core.errors import DataError
from ..core.files import write_json
from ..core.progress import progress
from ..core.sample import Sample, Unreadable
from ..core.signals import Interrupted
from ..corpora.layout import place_in
from ..corpora.manifest import Manifest, has_file, write_manifest
from ..poses.array_files import read_npz, write_npz
from ..poses.clip import PoseClip
from ..poses.detector import RECORD, PoseDetector, detector_in
from ..poses.normalise import THRESHOLD, normalise
from .clip import find_key_points
from .plan import Detection, check_folder, is_written, pose_path
from .pool import DetectorPool
from .result import Detected, Found, count_seen

logger = logging.getLogger(__name__)

LOCK = ".lock"
LEFTOVER_SECONDS = 600
"""Least age of the temporary files of killed runs."""


def detect(detection: Detection) -> Detected:
    """Write the pose file of each clip of the shard, and the manifest with all pose files.

    Raises:
        DataError: as :func:`check_detection`.
        ConfigError: the detector does not start, or fails at several clips one after the other.
        OSError: the disk is full.
    """
    # Before anything is written: a missing environment must not leave a folder behind.
    pool, begin = DetectorPool(detection.start), time.monotonic()
    try:
        record = check_folder(detection, pool.versions)
        write_json(detection.out / RECORD, record)
        _remove_leftovers(detection.out)
        results = _detect_all(detection, pool)
    finally:
        pool.close()
    found = [result for result in results if isinstance(result, Found)]
    awaited = _write_manifest(detection, detector_in(record))
    return Detected(
        manifest=detection.manifest_path,
        found=found,
        missing=_missing(detection.samples, results),
        awaited=awaited,
        seconds=time.monotonic() - begin,
    )


def _detect_all(detection: Detection, pool: DetectorPool) -> list[Found | Unreadable]:
    """Return the result of each clip of the shard, in order."""
    samples = detection.samples
    # Threads are enough: PyAV decodes and pipes wait without the lock of Python.
    threads = ThreadPoolExecutor(detection.config.workers)
    results: list[Found | Unreadable] = []
    frames = sum(sample.num_frames for sample in samples)
    bar = progress(desc="detecting key points", total=frames, unit="frame")
    try:
        found = threads.map(lambda sample: _detect_clip(detection, pool, sample), samples)
        for sample, result in zip(samples, found, strict=True):
            results.append(result)
            bar.update(sample.num_frames)
        return results
    except Interrupted:
        logger.warning(f"Finished pose files stay in {detection.out}: run the same command again to go on.")
        raise
    finally:
        bar.close()
        # Clips in work fail at once, and queued clips never start.
        pool.stop()
        threads.shutdown(cancel_futures=True)


def _detect_clip(detection: Detection, pool: DetectorPool, sample: Sample) -> Found | Unreadable:
    """Return the counts of a clip, whose file is written if there is none, or the reason why not."""
    try:
        path = pose_path(detection.out, sample)
        clip = _read_written(path, sample)
        if is_new := clip is None:
            clip = _write(detection, pool, sample, path)
    except DataError as error:
        reason = str(error)
    except OSError as error:
        # Other errors, such as a full disk, concern all clips.
        if error.errno != errno.ENAMETOOLONG:
            raise
        reason = "the id is too long for the name of a file"
    else:
        return Found(num_frames=len(clip), seen=count_seen(clip), is_new=is_new, fault=_fault_of_body(clip))
    missing = Unreadable(id=sample.id, split=sample.split, reason=reason)
    logger.warning(str(missing))
    return missing


def _read_written(path: Path, sample: Sample) -> PoseClip | None:
    """Return the key points of an earlier run, or None."""
    try:
        clip = read_npz(path) if path.exists() else None
    except DataError:
        # A disk may have lost what it had confirmed: the file is written again.
        return None
    # The video was replaced since.
    return clip if clip is not None and len(clip) == sample.num_frames else None


def _write(detection: Detection, pool: DetectorPool, sample: Sample, path: Path) -> PoseClip:
    """Detect the key points of a clip, and write the file.

    Raises:
        DataError: the video cannot be read to its end, has another number of frames than the manifest says,
            or the detector failed.
    """
    source = detection.manifest.clip(sample)
    with pool.lend() as detector:
        clip, size = find_key_points(
            source, detector, kind=detection.detector.kind, config=detection.config, fps=sample.fps
        )
    if len(clip) != sample.num_frames:
        raise DataError(
            f"the manifest says {sample.num_frames} frames, but the video has {len(clip)}. "
            "Run fla prepare again."
        )
    # Written only now, when the video was read to its end.
    write_npz(path, clip, size=size)
    return clip


def _remove_leftovers(out: Path) -> None:
    """Remove temporary files of killed runs."""
    for file in out.rglob(".*.tmp"):
        # Another shard may be writing a younger file.
        if time.time() - file.stat().st_mtime > LEFTOVER_SECONDS:
            file.unlink(missing_ok=True)


def _fault_of_body(clip: PoseClip) -> str | None:
    """Return why no encoder can use the key points, or None."""
    try:
        normalise(clip, method="uni-sign", threshold=THRESHOLD)
    except DataError as error:
        return str(error)
    return None


def _missing(samples: Sequence[Sample], results: Sequence[Found | Unreadable]) -> list[Unreadable]:
    missing = []
    for sample, result in zip(samples, results, strict=True):
        if isinstance(result, Unreadable):
            missing.append(result)
        elif result.fault is not None:
            missing.append(Unreadable(id=sample.id, split=sample.split, reason=result.fault))
    return missing


def _write_manifest(detection: Detection, detector: PoseDetector) -> int:
    """Write the manifest with the pose files of all shards, and count the clips without a pose file."""
    manifest, out = detection.manifest, detection.out
    # Of two shards that end together, the one that comes last must see the files of both.
    with _locked(out / LOCK):
        samples = tuple(_with_poses(sample, manifest, out) for sample in manifest.samples)
        # Clips without a video keep their pose files, of which nothing is known.
        is_ours = all(sample.poses is None or is_written(out, sample) for sample in samples)
        found = replace(manifest, samples=samples, detector=detector if is_ours else None)
        write_manifest(detection.manifest_path, found)
    return sum(sample.poses is None for sample in samples)


def _with_poses(sample: Sample, manifest: Manifest, out: Path) -> Sample:
    if is_written(out, sample):
        return replace(sample, poses=place_in(str(pose_path(out, sample).absolute()), manifest.root))
    # Pose files of another detector would mix two kinds of key points in one corpus.
    return replace(sample, poses=None) if has_file(sample, "video") else sample


@contextmanager
def _locked(path: Path) -> Iterator[None]:
    """Wait for the lock of a file, and hold the lock."""
    with path.open("a") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield
