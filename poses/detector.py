"""Record of the detector that found the key points of a corpus."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ..core.errors import DataError
from ..core.files import read_json

RECORD = "poses.json"
"""File of ``fla poses`` beside the pose files: detector, versions and settings."""
FORMAT = "fla-poses-1"


@dataclass(frozen=True, kw_only=True)
class PoseDetector:
    """Detector of key points. Two detectors place the points of the same picture differently."""

    name: str
    version: str
    """Version of the detector's package."""
    weights: str | None = None
    """SHA-256 over the weights. None: the weights are part of the package."""

    def __str__(self) -> str:
        weights = "" if self.weights is None else f" with weights {self.weights[:12]}"
        return f"{self.name} {self.version}{weights}"

    def is_like(self, other: "PoseDetector") -> bool:
        """Return whether another detector has the same models, in any version of the package."""
        return (self.name, self.weights) == (other.name, other.weights)


def detector_in(record: dict[str, Any]) -> PoseDetector:
    """Return the detector in the record of a folder of pose files."""
    name = record["detector"]
    return PoseDetector(name=name, version=record["versions"][name], weights=record.get("weights"))


def read_detector(folder: Path) -> PoseDetector | None:
    """Return the detector of a folder of pose files. None: ``fla poses`` did not write the folder.

    Raises:
        DataError: the record of the folder is damaged.
    """
    path = folder / RECORD
    content = read_json(path) if path.is_file() else None
    if not isinstance(content, dict) or content.get("format") != FORMAT:
        return None
    try:
        return detector_in(content)
    except (LookupError, TypeError) as error:
        raise DataError(f"{path} must name the detector and its version, but does not.") from error
