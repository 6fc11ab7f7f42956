"""Find key points in frames: a program for the separate Python environment of a detector.

:class:`.detector.Detector` starts this file as ``python -I worker.py NAME SETTINGS``, where NAME is a
detector and SETTINGS a JSON object. The file imports nothing of this package, which the environment does not
have.

Standard input: frames. A frame is its height and width, two little-endian 32-bit numbers, and then
height x width x 3 bytes, RGB. Height and width of 0 begin a new clip.
Standard output: a line of JSON with the versions, or with an error for the user, and then P x 3 little-endian
float32 for each frame, for the P points of the detector: x as a share of the width, y of the height, and the
score. Points that were not found are 0.
"""

import json
import os
import struct
import sys
from importlib.metadata import version
from typing import Any

MAX_BYTES = 3 * 8192 * 8192
"""Largest frame, as in ``video/geometry.py``."""
PARTS = (("pose", 33), ("face", 468), ("left_hand", 21), ("right_hand", 21))
"""Parts of MediaPipe Holistic in the order of the file, with the number of points."""
WHOLEBODY_POINTS = 133
"""Points of COCO-WholeBody."""


class UnfitError(Exception):
    """The user gave weights that do not fit."""


class MediaPipe:
    """MediaPipe Holistic, 543 points.

    Pose points have MediaPipe's visibility as score. MediaPipe gives no confidence for points of hands and
    face (the field is always 0), so the score of these points is 1 where the part was found.
    """

    def __init__(self, settings: dict[str, Any]) -> None:
        import mediapipe  # type: ignore[import-not-found]  # in the detector's own environment
        from mediapipe.python.solutions.holistic import Holistic  # type: ignore[import-not-found]  # as above

        # Complexity 1: the one model that lies in the wheel. The others would be downloaded.
        self._holistic = Holistic(static_image_mode=False, model_complexity=1, **settings)
        self.versions = {"mediapipe": mediapipe.__version__}

    def reset(self) -> None:
        """Begin a clip."""
        # Without this the first frame would depend on the clip before.
        self._holistic.reset()

    def find(self, frame: Any) -> Any:
        """Return the points of a frame (543, 3)."""
        found, rows = self._holistic.process(frame), list[tuple[float, float, float]]()
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
        return rows


class RtmLib:
    """RTMPose or RTMW with rtmlib, 133 points.

    The largest person counts. Without a detector of persons the signer must fill the picture.
    """

    def __init__(self, settings: dict[str, Any]) -> None:
        from rtmlib import YOLOX, RTMPose  # type: ignore[import-not-found]  # in its own environment

        self._points: Any = None
        self._persons: Any = None
        how = {"backend": "onnxruntime", "device": "cpu"}
        for path in settings["weights"]:
            is_points, (height, width) = _look_at(path)
            if getattr(self, "_points" if is_points else "_persons") is not None:
                raise UnfitError("--weights must have one detector of persons and one of key points.")
            # rtmlib takes the sides in another order for each.
            if is_points:
                self._points = RTMPose(path, model_input_size=(width, height), **how)
            else:
                self._persons = YOLOX(path, model_input_size=(height, width), **how)
        # Without any weights only the packages are tried.
        if settings["weights"] and self._points is None:
            raise UnfitError(f"--weights must have a model of {WHOLEBODY_POINTS} key points, but has none.")
        self.versions = {name: version(name) for name in ("rtmlib", "onnxruntime")}

    def reset(self) -> None:
        """Begin a clip. Frames do not depend on one another."""

    def find(self, frame: Any) -> Any:
        """Return the points of a frame (133, 3)."""
        import numpy as np

        height, width, _ = frame.shape
        # rtmlib works on the order of OpenCV: blue first.
        frame = np.ascontiguousarray(frame[..., ::-1])
        boxes = [(0, 0, width, height)] if self._persons is None else self._persons(frame)
        if not len(boxes):
            # rtmlib would take the whole picture for a person.
            return np.zeros((WHOLEBODY_POINTS, 3))
        largest = max(boxes, key=lambda box: (box[2] - box[0]) * (box[3] - box[1]))
        points, scores = self._points(frame, bboxes=[largest])
        return np.concatenate([points[0] / (width, height), scores[0][:, None]], axis=1)


DETECTORS = {"mediapipe": MediaPipe, "rtmlib": RtmLib}


def main(name: str, settings: dict[str, Any]) -> None:
    """Answer frames until the end of standard input.

    Raises:
        ValueError: a frame is larger than ``MAX_BYTES``, or the input ends inside a frame.
    """
    answers = os.fdopen(os.dup(1), "wb", buffering=0)
    # Libraries that print must not write between the answers.
    os.dup2(2, 1)
    import numpy as np

    try:
        detector = DETECTORS[name](settings)
    except UnfitError as error:
        answers.write(json.dumps({"error": str(error)}).encode() + b"\n")
        return
    versions = detector.versions | {"numpy": np.__version__}
    answers.write(json.dumps({"versions": versions}).encode() + b"\n")
    while header := sys.stdin.buffer.read(8):
        height, width = struct.unpack("<II", header)
        if height == width == 0:
            detector.reset()
            continue
        frame = np.frombuffer(_read(height * width * 3), np.uint8).reshape(height, width, 3)
        answers.write(np.asarray(detector.find(frame), "<f4").tobytes())


def _look_at(path: str) -> tuple[bool, tuple[int, int]]:
    """Return whether an ONNX file finds key points, and not persons, and the height and width of its input.

    Raises:
        UnfitError: the file is no such model.
    """
    import onnxruntime  # type: ignore[import-not-found]  # in its own environment

    try:
        session = onnxruntime.InferenceSession(path, providers=["CPUExecutionProvider"])
        size, outputs = session.get_inputs()[0].shape[2:], session.get_outputs()
    except Exception as error:
        # Each fault of a file has a class of its own, which has no common base.
        raise UnfitError(f"{path} must be an ONNX model of pictures, but: {error}") from error
    if len(size) != 2 or not all(isinstance(side, int) for side in size):
        raise UnfitError(f"{path} must have an input of one size, but has {size}.")
    # A distribution over x and one over y for each point (SimCC). A detector of persons has boxes.
    if len(outputs) != 2 or len(outputs[1].shape) != 3:
        return False, tuple(size)
    if outputs[0].shape[1] != WHOLEBODY_POINTS:
        raise UnfitError(f"{path} must find {WHOLEBODY_POINTS} key points, but finds {outputs[0].shape[1]}.")
    return True, tuple(size)


def _read(size: int) -> bytes:
    if not 0 < size <= MAX_BYTES:
        raise ValueError(f"A frame must have at most {MAX_BYTES} bytes, but has {size}.")
    data = sys.stdin.buffer.read(size)
    # The parent was killed in the middle of a frame.
    if len(data) != size:
        raise ValueError(f"A frame must have {size} bytes, but has {len(data)}.")
    return data


if __name__ == "__main__":
    main(sys.argv[1], json.loads(sys.argv[2]))
