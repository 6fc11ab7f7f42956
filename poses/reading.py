"""Reading of pose files by suffix. No code in a file is run."""

from collections.abc import Callable
from pathlib import Path

from ..core.errors import DataError
from ..core.files import visible
from .array_files import read_npy, read_npz
from .clip import PoseClip
from .pose_format_files import read_pose
from .uni_sign_files import read_pkl

_READERS: dict[str, Callable[[Path], PoseClip]] = {
    ".pkl": read_pkl,
    ".npz": read_npz,
    ".npy": read_npy,
    ".pose": read_pose,
}
SUFFIXES = tuple(_READERS)
"""Suffixes of pose files, in the order in which a folder is searched."""


def read_poses(path: Path) -> PoseClip:
    """Return the key points in a pose file.

    Raises:
        DataError: the file does not exist, has another suffix, is damaged, or holds no key points.
        ConfigError: a ``.pose`` file is given, and the package ``pose-format`` is not installed.
    """
    if path.suffix not in _READERS:
        raise DataError(f"{path} must be a pose file ({', '.join(SUFFIXES)}), but has another suffix.")
    if not path.is_file():
        raise DataError(f"{path} must be a pose file, but does not exist.")
    return _READERS[path.suffix](path)


def list_pose_files(path: Path) -> list[Path]:
    """Return a pose file itself, or the pose files in a folder by name.

    Raises:
        DataError: the folder holds no pose file.
    """
    if not path.is_dir():
        return [path]
    found = [file for file in visible(path.iterdir()) if file.suffix in _READERS]
    if not found:
        raise DataError(f"{path} must hold pose files ({', '.join(SUFFIXES)}), but holds none.")
    return found
