"""Pose files of Uni-Sign: a pickle of ``keypoints`` and ``scores``, read without running code in the file.

A file is a dict. ``keypoints`` is a list of arrays (persons, 133, 2), one per frame, and ``scores`` a list of
arrays (persons, 133). The key points are shares of the width and the height of the picture. Where the dict
has ``start`` and ``end``, only the frames from ``start`` to ``end - 1`` belong to the clip.
"""

import pickle
from pathlib import Path
from typing import Any

import numpy as np

from ..core.errors import DataError
from ..core.limited_pickle import encode_latin1, read_pickles
from .clip import PoseClip, make_clip

LEAST_LIMIT_BYTES = 1 << 28
_DTYPES = ("f2", "f4", "f8", "i4", "i8")
"""Number formats that a file may have."""


class _DType:
    """Number format in a pickle. The state of the pickle can set the byte order alone."""

    __slots__ = ("code", "order")

    def __init__(self, code: Any, *_: Any) -> None:
        if code not in _DTYPES:
            raise pickle.UnpicklingError(f"arrays must be of {', '.join(_DTYPES)}, but are of {code!r:.40}")
        self.code, self.order = code, "<"

    def __setstate__(self, state: Any) -> None:
        order = state[1]
        if order not in ("<", ">", "=", "|"):
            raise pickle.UnpicklingError(f"a byte order must be < or >, but is {order!r:.40}")
        self.order = order

    @property
    def dtype(self) -> np.dtype[Any]:
        """Return numpy's number format."""
        return np.dtype(self.order.replace("|", "=") + self.code)


class _Array:
    """Array in a pickle, over the bytes in the file."""

    __slots__ = ("values",)

    def __setstate__(self, state: Any) -> None:
        _, shape, dtype, is_fortran, content = state
        self.values = _from_buffer(content, dtype, shape, "F" if is_fortran else "C").values


def _reconstruct(*_: Any) -> _Array:
    """Return an empty array. The pickle gives the state afterwards."""
    return _Array()


def _from_buffer(content: Any, dtype: Any, shape: Any, order: Any) -> _Array:
    """Return an array over bytes, which must be as many as the shape declares."""
    if not isinstance(dtype, _DType) or not isinstance(content, bytes | bytearray):
        raise pickle.UnpicklingError("an array must have a number format and bytes")
    made = _Array()
    # numpy refuses a shape that needs other than all the numbers.
    made.values = np.frombuffer(content, dtype.dtype).reshape(shape, order="F" if order == "F" else "C")
    return made


_FUNCTIONS: dict[str, Any] = {
    # The module was renamed with numpy 2.0. Protocol 5 has the last name.
    **dict.fromkeys(
        ("numpy.core.multiarray._reconstruct", "numpy._core.multiarray._reconstruct"), _reconstruct
    ),
    **dict.fromkeys(("numpy.core.numeric._frombuffer", "numpy._core.numeric._frombuffer"), _from_buffer),
    "numpy.dtype": _DType,
    "numpy.ndarray": _reconstruct,
    "_codecs.encode": encode_latin1,
}


def read_pkl(path: Path) -> PoseClip:
    """Return the key points in a pose file of Uni-Sign.

    Raises:
        DataError: the file is damaged, asks for code, or is no pose file of Uni-Sign.
    """
    content = read_pickles(path, functions=_FUNCTIONS, holds="dicts, lists, numbers and arrays of numbers")
    if len(content) != 1 or type(content[0]) is not dict:
        raise DataError(f"{path} must hold a dict of keypoints and scores, but holds something else.")
    frames = _frames(content[0], path)
    points = _stack([content[0]["keypoints"][number] for number in frames], "keypoints", path)
    scores = _stack([content[0]["scores"][number] for number in frames], "scores", path)
    return make_clip(points, scores, origin=str(path))


def _frames(content: dict[str, Any], path: Path) -> range:
    """Return the numbers of the clip's frames in the lists."""
    points, scores = content.get("keypoints"), content.get("scores")
    if not isinstance(points, list) or not isinstance(scores, list) or len(points) != len(scores):
        raise DataError(f"{path} must hold keypoints and scores, two lists with an array for each frame.")
    start, end = content.get("start", 0), content.get("end", len(points))
    if type(start) is not int or type(end) is not int or not 0 <= start < end <= len(points):
        raise DataError(
            f"{path} must have 0 <= start < end <= {len(points)} frames, but has {start!r:.40} and "
            f"{end!r:.40}."
        )
    return range(start, end)


def _stack(arrays: list[Any], name: str, path: Path) -> np.ndarray:
    """Return the first person of all frames: T arrays (persons, ...) -> (T, ...)."""
    values = [getattr(array, "values", None) for array in arrays]
    if not all(isinstance(value, np.ndarray) and value.ndim >= 2 and len(value) for value in values):
        raise DataError(f"{path} must hold an array of at least one person in each frame of {name}.")
    people = [value[0] for value in values if value is not None]
    # A pickle can name one array any number of times in two bytes each.
    if sum(person.nbytes for person in people) > max(LEAST_LIMIT_BYTES, 2 * path.stat().st_size):
        raise DataError(f"{path} must hold an array of its own for each frame, but repeats arrays.")
    if len({person.shape for person in people}) != 1:
        raise DataError(f"{path} must hold {name} of one shape, but the shapes of the frames differ.")
    return np.stack(people)
