"""An environment with a stand-in for MediaPipe, in which the real worker runs, and a manifest of tiny clips.

The red channel of a picture says what the stand-in does: see ``HOLISTIC``.
"""

import json
import venv
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pytest
from click.testing import CliRunner
from PIL import Image

from fla_llm.cli import fla
from fla_llm.core.sample import Sample
from fla_llm.corpora.manifest import Manifest, write_manifest

CRASH, HANG, NOBODY, NO_HANDS = 250, 251, 252, 253
HOLISTIC = """
import os, sys, time
from pathlib import Path
from types import SimpleNamespace

class Holistic:
    def __init__(self, *, static_image_mode, model_complexity, **settings):
        assert (static_image_mode, model_complexity) == (False, 1)
        self.detection = settings.pop("min_detection_confidence")
        self.tracking = settings.pop("min_tracking_confidence")
        assert not settings
        self.frames = 0
        (Path(sys.prefix) / "pids" / str(os.getpid())).touch()
        print("a library prints on standard output")

    def reset(self):
        self.frames = 0

    def process(self, frame):
        code = frame[0, 0, 0]
        if code == 250:
            print("out of luck", file=sys.stderr)
            os._exit(3)
        if code == 251:
            time.sleep(60)
        time.sleep(0.005)
        self.frames += 1
        body = None if code == 252 else self.points(33, y=0.1, visibility=self.detection)
        hands = None if code in (252, 253) else self.points(21, y=self.tracking, visibility=0.0)
        face = None if code == 252 else self.points(468, y=frame.shape[0] / 100, visibility=0.0)
        return SimpleNamespace(
            pose_landmarks=body, face_landmarks=face, left_hand_landmarks=hands, right_hand_landmarks=hands
        )

    def points(self, count, *, y, visibility):
        # The number of frames since the reset: a forgotten reset changes the points.
        return SimpleNamespace(landmark=[
            SimpleNamespace(x=point / 1000 + self.frames / 100, y=y + point / 1000, visibility=visibility)
            for point in range(count)
        ])
"""


class Run(NamedTuple):
    """End of a run."""

    exit_code: int
    result: dict[str, Any]
    log: str


@pytest.fixture(scope="session")
def environment(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of an environment with a package ``mediapipe``."""
    folder = tmp_path_factory.mktemp("environment")
    packages = make_environment(folder)
    solutions = packages / "mediapipe/python/solutions"
    solutions.mkdir(parents=True)
    for package in (solutions, solutions.parent):
        (package / "__init__.py").touch()
    (packages / "mediapipe/__init__.py").write_text("__version__ = '0'")
    (solutions / "holistic.py").write_text(HOLISTIC)
    return folder


def make_environment(folder: Path) -> Path:
    """Make an environment with numpy, and return the folder of its packages."""
    venv.create(folder, with_pip=False, symlinks=True)
    (folder / "pids").mkdir()
    (packages,) = folder.glob("lib/python*/site-packages")
    (packages / "numpy.pth").write_text(str(Path(np.__file__).parents[1]))
    return packages


@pytest.fixture
def write_clips(tmp_path: Path) -> Callable[..., Path]:
    """Write folders of pictures, 24 x 16, of these codes, and a manifest; return the manifest's path."""

    def write(clips: Mapping[str, list[int]], **more: Any) -> Path:
        samples = []
        for number, (id, codes) in enumerate(clips.items()):
            (folder := tmp_path / f"videos/{number}").mkdir(parents=True, exist_ok=True)
            for frame, code in enumerate(codes):
                Image.new("RGB", (24, 16), (code, 0, 0)).save(folder / f"images{frame}.png")
            samples.append(
                Sample(
                    id=id, split="train", video=f"videos/{number}", text=f"Satz {number}", language="de",
                    num_frames=len(codes), fps=25.0,
                )
            )  # fmt: skip
        path = tmp_path / "manifest.jsonl"
        write_manifest(path, Manifest(corpus="tiny", root=tmp_path, samples=tuple(samples)))
        return path

    return write


@pytest.fixture
def manifest(write_clips: Callable[..., Path]) -> Path:
    """The manifest of four clips that show a signer."""
    return write_clips({"a": [1, 2], "deep/b": [3], "c": [4, 5, 6], "d": [7]})


@pytest.fixture
def detect(environment: Path, tmp_path: Path) -> Callable[..., Run]:
    """Run ``fla poses`` in this process."""

    def run(
        manifest: Path, *options: str, out: Path = tmp_path / "poses", environment: Path = environment,
        **settings: object,
    ) -> Run:  # fmt: skip
        given = [str(manifest), "--out", str(out), "--environment", str(environment), "--json", *options]
        chosen = [word for key, value in settings.items() for word in ("--set", f"{key}={value}")]
        done = CliRunner().invoke(fla, ["poses", *given, *chosen], catch_exceptions=False)
        return Run(done.exit_code, json.loads(done.stdout), done.stderr)

    return run
