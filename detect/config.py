"""Settings of ``fla poses``."""

from dataclasses import dataclass
from typing import Any, Literal

from ..core.errors import ConfigError
from ..poses.layouts import LAYOUTS, Layout
from .kinds import KINDS, DetectorKind


@dataclass(frozen=True, kw_only=True)
class DetectConfig:
    """Settings of a detection of key points."""

    min_detection_confidence: float = 0.5
    """Least confidence of MediaPipe for a person in a picture, 0..1."""
    min_tracking_confidence: float = 0.5
    """Least confidence of MediaPipe for the same person as in the frame before, 0..1. Below, MediaPipe
    searches the person again."""
    longest_side: int = 1280
    """Larger pictures are scaled down to this longer side, in pixels, before the detector."""
    layout: Literal["all", "uni-sign"] = "all"
    """Points in the files: all of the detector (MediaPipe 543, 6.5 kB a frame), or the 69 points of Uni-Sign
    (0.8 kB)."""
    workers: int = 1
    """Number of detector processes. Each takes 1 to 2 cores and 0.4 GB of memory."""
    timeout_seconds: float = 60.0
    """Longest time for a frame. Beyond, the detector is ended and the clip is listed."""

    def __post_init__(self) -> None:
        for name in ("min_detection_confidence", "min_tracking_confidence"):
            if not 0 <= getattr(self, name) <= 1:
                raise ConfigError(f"{name} must lie in 0..1, but is {getattr(self, name)}.")
        for name in ("longest_side", "workers"):
            if getattr(self, name) < 1:
                raise ConfigError(f"{name} must be at least 1, but is {getattr(self, name)}.")
        if not self.timeout_seconds > 0:
            raise ConfigError(f"timeout_seconds must be above 0, but is {self.timeout_seconds}.")

    def for_detector(self, kind: DetectorKind) -> dict[str, float]:
        """Return the settings of the child process.

        Raises:
            ConfigError: a setting was changed that only another detector has.
        """
        foreign = {name for other in KINDS.values() for name in other.settings} - {*kind.settings}
        usual = DetectConfig()
        # A setting that is silently ignored would look like one that was tried.
        if changed := sorted(name for name in foreign if getattr(self, name) != getattr(usual, name)):
            raise ConfigError(f"{' and '.join(changed)} must not be set: {kind.name} has no such setting.")
        return {name: getattr(self, name) for name in kind.settings}

    def layout_of(self, kind: DetectorKind) -> Layout:
        """Return the layout of the pose files of a detector."""
        return kind.layout if self.layout == "all" else LAYOUTS[self.layout]

    def for_record(self, kind: DetectorKind) -> dict[str, Any]:
        """Return the settings with an effect on the content of a pose file."""
        # Not workers and timeout: a run may go on with more cores or more patience.
        layout = self.layout_of(kind).name
        return {**self.for_detector(kind), "longest_side": self.longest_side, "layout": layout}
