"""The Python environment of MediaPipe, which needs older packages than fla."""

import logging
import os
import re
import subprocess
from pathlib import Path

from ..core.errors import ConfigError
from ..core.files import visible

logger = logging.getLogger(__name__)

MEDIAPIPE = "mediapipe==0.10.21"
"""The last release with ``solutions`` and with models in the wheel. Later releases
(0.10.30) download models."""
PACKAGES = (
    "numpy==1.26.4",
    "protobuf==4.25.9",
    "opencv-python-headless==4.11.0.86",
    "matplotlib==3.11.2",
    "absl-py==2.5.1",
    "attrs==26.1.0",
    "flatbuffers==25.12.19",
)
"""Imports of MediaPipe Holistic. The wheel also asks for jax and sounddevice, which are not used, and for
OpenCV with windows, which needs libraries of a desktop."""
FIRST_PYTHON, LAST_PYTHON = (3, 11), (3, 12)
"""Versions of Python with wheels of all of these packages."""
WORKER = Path(__file__).with_name("mediapipe_worker.py")


def default_environment() -> Path:
    """Return the usual place of the environment, in the user's cache folder."""
    # The variable of the XDG base directory specification.
    cache = os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache"
    return Path(cache) / "fla-llm" / "mediapipe"


def worker_command(environment: Path) -> tuple[str, ...]:
    """Return the start command of the detector, without the settings.

    Raises:
        ConfigError: the environment does not exist.
    """
    # The commands of the environment are not needed: only its interpreter knows its packages.
    python = environment / "bin" / "python"
    if not python.is_file():
        raise ConfigError(
            f"The environment of MediaPipe must be in {environment}, but is not there.\n"
            f"{_remedy(environment)}"
        )
    # -I: variables and folders of fla's own environment must not reach the other one.
    return str(python), "-I", str(WORKER)


def set_up(environment: Path, *, python: str) -> None:
    """Make the environment and install MediaPipe, or finish an earlier attempt.

    Args:
        environment: folder of the environment.
        python: the Python to make the environment with.

    Raises:
        ConfigError: ``python`` cannot be started or has the wrong version, the folder holds other files, or
            the installation fails.
    """
    _check_version(python)
    # pip would otherwise write thousands of files beside photos or a thesis.
    if environment.is_dir() and visible(environment.iterdir()) and not _is_environment(environment):
        raise ConfigError(f"{environment} must be an environment of Python or empty, but holds other files.")
    logger.info(f"installing {MEDIAPIPE} into {environment} (about 400 MB)")
    _run(python, "-m", "venv", str(environment))
    pip = (str(environment / "bin" / "python"), "-m", "pip", "install", "--quiet")
    # Without its dependencies: the wheel asks for jax and for OpenCV with windows.
    _run(*pip, "--disable-pip-version-check", "--no-deps", MEDIAPIPE)
    _run(*pip, "--disable-pip-version-check", *PACKAGES)


def _is_environment(folder: Path) -> bool:
    return (folder / "pyvenv.cfg").is_file()


def _remedy(environment: Path) -> str:
    place = "" if environment == default_environment() else f" --environment {environment}"
    return f"Run: fla poses --set-up{place}"


def _check_version(python: str) -> None:
    # The version is asked of the program: a name such as python3 does not tell.
    shown = _run(python, "-c", "import sys; print(*sys.version_info[:2])")
    found = tuple(map(int, re.findall(r"\d+", shown)))
    if not FIRST_PYTHON <= found <= LAST_PYTHON:
        last = _dotted(LAST_PYTHON)
        raise ConfigError(
            f"{MEDIAPIPE} needs Python {_dotted(FIRST_PYTHON)} to {last}, but {python} is {_dotted(found)}.\n"
            f"Give another Python: fla poses --set-up --python python{last}"
        )


def _dotted(version: tuple[int, ...]) -> str:
    return ".".join(map(str, version))


def _run(*command: str) -> str:
    """Run a command and return standard output.

    Raises:
        ConfigError: the command does not exist, or fails.
    """
    try:
        done = subprocess.run(command, capture_output=True, text=True, check=False)
    except OSError as error:
        raise ConfigError(f"{command[0]} cannot be started: {error.strerror}.") from error
    if done.returncode:
        # The end of the output has the reason, for pip and for venv.
        lines = (done.stderr or done.stdout).strip().splitlines()[-5:]
        raise ConfigError("\n".join([f"This command failed: {' '.join(command)}", *lines]))
    return done.stdout
