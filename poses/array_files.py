"""Pose files of numpy: ``.npz`` with named arrays, and ``.npy`` with points and scores in one array."""

import zipfile
from pathlib import Path
from typing import Any

import numpy as np

from ..core.errors import DataError
from ..core.files import atomic_write
from ..core.npy_files import map_npy
from ..core.read_errors import READ_ERRORS
from .clip import PoseClip, make_clip

LEAST_LIMIT_BYTES = 1 << 28
MAX_RATIO = 50
"""Unpacked to packed bytes of an archive, where the unpacked size is above 256 MiB."""


def read_npy(path: Path) -> PoseClip:
    """Return the key points of a ``.npy`` file: (T, P, 3), the last axis x, y and score.

    Raises:
        DataError: the file is damaged, or the array has another shape.
    """
    array = map_npy(path)
    # Four dimensions: several persons, of whom make_clip takes the first.
    if array.ndim not in (3, 4) or array.shape[-1] != 3:
        raise DataError(f"{path} must hold (frames, points, 3) with x, y and score, but holds {array.shape}.")
    return make_clip(array[..., :2], array[..., 2], origin=str(path))


def read_npz(path: Path) -> PoseClip:
    """Return the key points of a ``.npz`` file, as :func:`write_npz` writes.

    ``keypoints`` (T, P, 2) has ``scores`` (T, P) beside it, or is (T, P, 3) with the scores. Optional are
    ``size`` (width and height in pixels, where the key points are in pixels), ``fps`` and ``layout``.

    Raises:
        DataError: the file is damaged, unpacks to too many bytes, or lacks the key points or the scores.
    """
    try:
        _check_archive(path)
        with np.load(path, allow_pickle=False) as archive:
            arrays: dict[str, Any] = {key: archive[key] for key in archive.files}
        size, fps, layout = (arrays.get(key) for key in ("size", "fps", "layout"))
        options: dict[str, Any] = {
            "size": None if size is None else (float(size[0]), float(size[1])),
            "fps": None if fps is None else float(fps),
            "layout": None if layout is None else str(layout),
        }
    except READ_ERRORS as error:
        raise DataError(f"{path} must be a whole .npz file without pickled objects, but: {error}") from error
    points, scores = arrays.get("keypoints"), arrays.get("scores")
    if scores is None and points is not None and points.ndim in (3, 4) and points.shape[-1] == 3:
        points, scores = points[..., :2], points[..., 2]
    if points is None or scores is None:
        raise DataError(f"{path} must hold keypoints and scores, but holds {', '.join(arrays) or 'nothing'}.")
    return make_clip(points, scores, origin=str(path), **options)


def write_npz(path: Path, clip: PoseClip, *, size: tuple[int, int]) -> None:
    """Write key points atomically, in pixels of a picture of ``size`` (width, height)."""
    arrays: dict[str, Any] = {
        "keypoints": (clip.points * np.asarray(size)).astype(np.float32),
        "scores": clip.scores,
        "size": np.asarray(size),
        "layout": np.asarray(clip.layout.name),
    }
    if clip.fps is not None:
        arrays["fps"] = np.asarray(clip.fps)
    # An open file: numpy would add a suffix to the temporary name.
    with atomic_write(path) as temporary, temporary.open("wb") as file:
        np.savez(file, **arrays)


def _check_archive(path: Path) -> None:
    """Refuse an archive whose parts unpack to too many bytes, or declare more than they hold."""
    limit = max(LEAST_LIMIT_BYTES, MAX_RATIO * path.stat().st_size)
    with zipfile.ZipFile(path) as archive:
        if sum(entry.file_size for entry in archive.infolist()) > limit:
            raise ValueError(f"it unpacks to more than {limit} bytes")
        for entry in archive.infolist():
            with archive.open(entry) as file:
                # numpy allocates the declared shape before it reads the numbers.
                if _declared_bytes(file) > entry.file_size:
                    raise ValueError(f"{entry.filename} declares more numbers than it has")


def _declared_bytes(file: Any) -> int:
    version = np.lib.format.read_magic(file)
    read_header = {
        (1, 0): np.lib.format.read_array_header_1_0,
        (2, 0): np.lib.format.read_array_header_2_0,
    }.get(version)
    if read_header is None:
        raise ValueError(f"it has the version {version} of the .npy format")
    shape, _, dtype = read_header(file)
    return int(np.prod(shape, dtype=object)) * dtype.itemsize
