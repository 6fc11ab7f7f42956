"""The detector's environment: made by pinned commands, and named where it is absent."""

import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from fla_llm.core.errors import ConfigError
from fla_llm.detect.detector import Detector
from fla_llm.detect.environment import WORKER, default_environment, set_up, worker_command
from fla_llm.detect.kinds import KINDS, MEDIAPIPE, RTMLIB, DetectorKind

SETTINGS = {"min_detection_confidence": 0.5, "min_tracking_confidence": 0.5}


@pytest.fixture
def write_python(tmp_path: Path) -> Callable[[str], str]:
    """Write a program that stands for Python: tells a version, makes environments, and notes each call."""

    def write(version: str, *, pip: str = "exit 0") -> str:
        path = tmp_path / "python"
        path.write_text(
            f'#!/bin/sh\necho "$@" >> {tmp_path}/calls\ncase "$2" in\n'
            f'import*) echo {version} ;;\nvenv) mkdir -p "$3/bin"; cp "$0" "$3/bin/python" ;;\n'
            f"pip) {pip} ;;\nesac\n"
        )
        path.chmod(0o755)
        return str(path)

    return write


@pytest.mark.parametrize("kind", KINDS.values())
def test_the_environment_is_made_with_pinned_packages(
    write_python: Callable[..., str], tmp_path: Path, kind: DetectorKind
) -> None:
    set_up(kind, tmp_path / "environment", python=write_python("3 12"))
    _, make, *installs = (tmp_path / "calls").read_text().splitlines()
    assert make == f"-m venv {tmp_path}/environment"
    assert installs[0].endswith(f"--no-deps {kind.name}=={kind.version}")
    assert installs[1].endswith(" ".join(kind.packages))
    assert all("==" in package for package in kind.packages)


def test_a_python_without_wheels_is_refused_with_the_one_to_give(write_python: Callable[..., str]) -> None:
    with pytest.raises(ConfigError, match=r"needs Python 3\.11 to 3\.12, but .* is 3\.14\.\n.*python3\.12"):
        set_up(MEDIAPIPE, Path("nowhere"), python=write_python("3 14"))
    with pytest.raises(
        ConfigError, match=r"3\.11 to 3\.13, .*\n.*: fla poses --detector rtmlib --set-up --python"
    ):
        set_up(RTMLIB, Path("nowhere"), python=write_python("3 14"))


def test_a_failed_installation_is_told_by_its_last_line(
    write_python: Callable[..., str], tmp_path: Path
) -> None:
    python = write_python("3 11", pip="echo no network >&2; exit 1")
    with pytest.raises(ConfigError, match="This command failed: .*mediapipe==0.10.21\nno network"):
        set_up(MEDIAPIPE, tmp_path / "environment", python=python)


def test_a_folder_with_other_files_is_left_alone(write_python: Callable[..., str], tmp_path: Path) -> None:
    (tmp_path / "photos").mkdir()
    (tmp_path / "photos/cat.jpg").touch()
    with pytest.raises(ConfigError, match="holds other files"):
        set_up(MEDIAPIPE, tmp_path / "photos", python=write_python("3 11"))
    with pytest.raises(ConfigError, match="nowhere cannot be started"):
        set_up(MEDIAPIPE, tmp_path / "new", python="nowhere")


def test_an_absent_environment_is_named_with_the_command_that_makes_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    assert default_environment(MEDIAPIPE).is_relative_to(tmp_path)
    assert default_environment(MEDIAPIPE) != default_environment(RTMLIB)
    with pytest.raises(ConfigError, match="Run: fla poses --set-up$"):
        worker_command(MEDIAPIPE, default_environment(MEDIAPIPE))
    with pytest.raises(ConfigError, match="Run: fla poses --set-up --environment /elsewhere$"):
        worker_command(MEDIAPIPE, Path("/elsewhere"))
    with pytest.raises(ConfigError, match="Run: fla poses --detector rtmlib --set-up$"):
        worker_command(RTMLIB, default_environment(RTMLIB))


def test_an_environment_without_the_detector_tells_the_missing_package() -> None:
    for kind in KINDS.values():
        command = (sys.executable, "-I", str(WORKER), kind.name)
        with pytest.raises(ConfigError, match=f"(?s)must start.*exit code 1.*No module named '{kind.name}'"):
            Detector(command, settings=SETTINGS, num_points=1, timeout_seconds=5)
    with pytest.raises(ConfigError, match="nowhere cannot be started"):
        Detector(("nowhere",), settings=SETTINGS, num_points=1, timeout_seconds=5)


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (b"\xff" * 8, "A frame must have at most"),
        (b"\x02\0\0\0\x02\0\0\0abc", "A frame must have 12 bytes, but has 3"),
    ],
)
def test_the_worker_refuses_a_frame_of_a_wrong_size(environment: Path, data: bytes, message: str) -> None:
    command = [
        *worker_command(MEDIAPIPE, environment),
        '{"min_detection_confidence": 0, "min_tracking_confidence": 0}',
    ]
    done = subprocess.run(command, input=data, capture_output=True, check=False)
    assert done.returncode == 1
    assert message in done.stderr.decode()
