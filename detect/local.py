"""A detector on this machine: kind, environment and weights."""

import hashlib
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

from ..core.errors import ConfigError
from ..core.files import sha256_file
from ..poses.detector import PoseDetector
from .config import DetectConfig
from .detector import Detector
from .environment import worker_command
from .kinds import DetectorKind

SUFFIX = ".onnx"
MAX_WEIGHTS = 2
"""A detector of persons, and one of key points."""


@dataclass(frozen=True, kw_only=True)
class LocalDetector:
    """A detector on this machine. The environment is looked up at the start."""

    kind: DetectorKind
    environment: Path
    weights: tuple[Path, ...] = ()
    """Weights that the user gave, by :func:`find_weights`."""

    @cached_property
    def weights_digest(self) -> str | None:
        """SHA-256 over all weights. None: the weights are part of the package."""
        # Sorted: the names and the place of the files have no effect.
        digests = sorted(sha256_file(path) for path in self.weights)
        return hashlib.sha256("\n".join(digests).encode()).hexdigest() if digests else None

    def start(self, config: DetectConfig) -> Detector:
        """Start a process of the detector.

        Raises:
            ConfigError: the environment does not exist, a setting belongs to another detector, or the
                detector does not start.
        """
        settings: dict[str, Any] = config.for_detector(self.kind)
        if self.kind.needs_weights:
            settings["weights"] = [str(path) for path in self.weights]
        return Detector(
            worker_command(self.kind, self.environment), settings=settings,
            num_points=self.kind.layout.num_points, timeout_seconds=config.timeout_seconds,
        )  # fmt: skip

    def found_by(self, versions: dict[str, str]) -> PoseDetector:
        """Return the record of the detector, for the packages of a started process."""
        name = self.kind.name
        return PoseDetector(name=name, version=versions[name], weights=self.weights_digest)


def find_weights(kind: DetectorKind, given: Path | None) -> tuple[Path, ...]:
    """Return the files of the weights: one ONNX file, or the ONNX files of a folder.

    Raises:
        ConfigError: weights are missing, or given to a detector that brings its own.
    """
    if not kind.needs_weights:
        if given is not None:
            raise ConfigError(f"--weights must go with --detector rtmlib: {kind.name} brings its own.")
        return ()
    if given is None:
        raise ConfigError(
            f"{kind.name} must have weights, and downloads none.\n"
            "Give --weights DIR, with an ONNX file of a detector of persons and one of 133 key points."
        )
    found = sorted(given.glob(f"*{SUFFIX}")) if given.is_dir() else [given]
    if not 1 <= len(found) <= MAX_WEIGHTS or not all(path.is_file() for path in found):
        raise ConfigError(
            f"--weights must be an ONNX file, or a folder with one or two, but {given} "
            f"{f'has {len(found)}' if given.is_dir() else 'does not exist'}."
        )
    # The child process has another working directory in mind, and must never take a path for a name.
    return tuple(path.absolute() for path in found)
