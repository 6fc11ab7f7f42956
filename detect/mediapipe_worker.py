"""Find key points in frames with MediaPipe Holistic: a program for a separate Python environment.

:class:`.detector.Detector` starts this file as ``python -I mediapipe_worker.py SETTINGS``, where SETTINGS is
a JSON object. The file imports nothing of this package, which the environment does not have.

Standard input: frames. A frame is its height and width, two little-endian 32-bit numbers, and then
height x width x 3 bytes, RGB. Height and width of 0 begin a new clip.
Standard output: a line of JSON with the versions, and then 543 x 3 little-endian float32 for each frame: x as
a share of the width, y of the height, and the score. Points that were not found are 0.

Pose points have MediaPipe's visibility as score. MediaPipe gives no confidence for points of hands and face
(the field is always 0), so the score of these points is 1 where the part was found.
"""

import json
import os
import struct
import sys
from typing import Any

MAX_BYTES = 3 * 8192 * 8192
"""Largest frame, as in ``video/geometry.py``."""
PARTS = (("pose", 33), ("face", 468), ("left_hand", 21), ("right_hand", 21))
"""Parts of MediaPipe Holistic in the order of the file, with the number of points."""


def main(settings: dict[str, float]) -> None:
    """Answer frames until the end of standard input.

    Raises:
        ValueError: a frame is larger than ``MAX_BYTES``, or the input ends inside a frame.
    """
    answers = os.fdopen(os.dup(1), "wb", buffering=0)
    # Libraries that print must not write between the answers.
    os.dup2(2, 1)
    import mediapipe  # type: ignore[import-not-found]
    import numpy as np
    from mediapipe.python.solutions.holistic import Holistic  # type: ignore[import-not-found]

    # Complexity 1: the one model that lies in the wheel. The others would be downloaded.
    holistic = Holistic(static_image_mode=False, model_complexity=1, **settings)
    versions = {"mediapipe": mediapipe.__version__, "numpy": np.__version__}
    answers.write(json.dumps({"versions": versions}).encode() + b"\n")
    while header := sys.stdin.buffer.read(8):
        height, width = struct.unpack("<II", header)
        if height == width == 0:
            # Without this the first frame would depend on the clip before.
            holistic.reset()
            continue
        frame = np.frombuffer(_read(height * width * 3), np.uint8).reshape(height, width, 3)
        answers.write(_points(holistic.process(frame), np))


def _read(size: int) -> bytes:
    if not 0 < size <= MAX_BYTES:
        raise ValueError(f"A frame must have at most {MAX_BYTES} bytes, but has {size}.")
    data = sys.stdin.buffer.read(size)
    # The parent was killed in the middle of a frame.
    if len(data) != size:
        raise ValueError(f"A frame must have {size} bytes, but has {len(data)}.")
    return data


def _points(found: Any, np: Any) -> bytes:
    """Return the key points of a frame as bytes."""
    rows: list[tuple[float, float, float]] = []
    for part, count in PARTS:
        landmarks = getattr(found, f"{part}_landmarks")
        # MediaPipe gives a part as a whole or not at all.
        if landmarks is None:
            rows += [(0.0, 0.0, 0.0)] * count
        else:
            rows += [
                (point.x, point.y, point.visibility if part == "pose" else 1.0)
                for point in landmarks.landmark
            ]
    return np.asarray(rows, "<f4").tobytes()


if __name__ == "__main__":
    main(json.loads(sys.argv[1]))
