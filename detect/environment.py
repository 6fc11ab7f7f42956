"""Python environments of the detectors, which need other packages than fla."""

import logging
import os
import re
import subprocess
from pathlib import Path

from ..core.errors import ConfigError
from ..core.files import visible
from .kinds import FIRST_PYTHON, MEDIAPIPE, DetectorKind, Version

logger = logging.getLogger(__name__)

WORKER = Path(__file__).with_name("worker.py")


def default_environment(kind: DetectorKind) -> Path:
    """Return the usual place of the environment of a detector, in the user's cache folder."""
    # The variable of the XDG base directory specification.
    cache = os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache"
    return Path(cache) / "fla-llm" / kind.name


def worker_command(kind: DetectorKind, environment: Path) -> tuple[str, ...]:
    """Return the start command of the detector, without the settings.

    Raises:
        ConfigError: the environment does not exist.
    """
    # The commands of the environment are not needed: only its interpreter knows its packages.
    python = environment / "bin" / "python"
    if not python.is_file():
        raise ConfigError(
            f"The environment of {kind.name} must be in {environment}, but is not there.\n"
            f"{_remedy(kind, environment)}"
        )
    # -I: variables and folders of fla's own environment must not reach the other one.
    return str(python), "-I", str(WORKER), kind.name


def set_up(kind: DetectorKind, environment: Path, *, python: str) -> None:
    """Make the environment and install the detector, or finish an earlier attempt.

    Args:
        kind: the detector.
        environment: folder of the environment.
        python: the Python to make the environment with.

    Raises:
        ConfigError: ``python`` cannot be started or has the wrong version, the folder holds other files, or
            the installation fails.
    """
    _check_version(kind, python)
    # pip would otherwise write thousands of files beside photos or a thesis.
    if environment.is_dir() and visible(environment.iterdir()) and not _is_environment(environment):
        raise ConfigError(f"{environment} must be an environment of Python or empty, but holds other files.")
    logger.info(f"installing {kind.requirement} into {environment} (about {kind.megabytes} MB)")
    _run(python, "-m", "venv", str(environment))
    pip = (str(environment / "bin" / "python"), "-m", "pip", "install", "--quiet")
    # Without its dependencies: the wheels ask for OpenCV with windows, and for more that is not used.
    _run(*pip, "--disable-pip-version-check", "--no-deps", kind.requirement)
    _run(*pip, "--disable-pip-version-check", *kind.packages)


def _is_environment(folder: Path) -> bool:
    return (folder / "pyvenv.cfg").is_file()


def _remedy(kind: DetectorKind, environment: Path) -> str:
    place = "" if environment == default_environment(kind) else f" --environment {environment}"
    return f"Run: {_set_up_command(kind)}{place}"


def _set_up_command(kind: DetectorKind) -> str:
    return "fla poses --set-up" if kind is MEDIAPIPE else f"fla poses --detector {kind.name} --set-up"


def _check_version(kind: DetectorKind, python: str) -> None:
    # The version is asked of the program: a name such as python3 does not tell.
    shown = _run(python, "-c", "import sys; print(*sys.version_info[:2])")
    found = tuple(map(int, re.findall(r"\d+", shown)))
    if not FIRST_PYTHON <= found <= kind.last_python:
        first, last = _dotted(FIRST_PYTHON), _dotted(kind.last_python)
        raise ConfigError(
            f"{kind.requirement} needs Python {first} to {last}, but {python} is {_dotted(found)}.\n"
            f"Give another Python: {_set_up_command(kind)} --python python{last}"
        )


def _dotted(version: Version | tuple[int, ...]) -> str:
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
