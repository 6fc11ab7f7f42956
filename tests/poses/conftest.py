"""Pose files of generated signers."""

import pickle
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

Arrays = tuple[np.ndarray, np.ndarray]


@pytest.fixture
def wholebody() -> Arrays:
    """Points (5, 133, 2) as shares of a picture, and scores (5, 133) above 0.5."""
    rng = np.random.default_rng(0)
    return rng.uniform(0.1, 0.9, (5, 133, 2)), rng.uniform(0.5, 1, (5, 133))


@pytest.fixture
def write_pkl(tmp_path: Path) -> Callable[..., Path]:
    """Write a pose file in the published form: lists of arrays with an axis for persons."""

    def write(points: Any, scores: Any, *, protocol: int = 4, **more: Any) -> Path:
        content = {
            "keypoints": [np.asarray(frame)[None] for frame in points],
            "scores": [np.asarray(frame)[None] for frame in scores],
        }
        path = tmp_path / "clip.pkl"
        path.write_bytes(pickle.dumps(content | more, protocol=protocol))
        return path

    return write
