"""Result of a detection: clips, shares of frames with each part of the body, and what is missing."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from ..core.sample import Unreadable
from ..poses.clip import PoseClip
from ..poses.layouts import PARTS, SLICES
from ..poses.normalise import THRESHOLD


@dataclass(frozen=True, kw_only=True)
class Found:
    """Key points of a clip, counted."""

    num_frames: int
    seen: dict[str, int]
    """Number of frames with each part: ``body``, ``left``, ``right``, ``face``."""
    is_new: bool
    """Whether this run detected the clip, and no earlier run."""
    fault: str | None = None
    """Reason against the use of the key points, for example no body. None: no fault."""


@dataclass(frozen=True, kw_only=True)
class Detected:
    """Result of a run. Clips with pose files and unreadable clips together are all clips of the shard."""

    manifest: Path
    """The manifest with the pose files."""
    found: Sequence[Found]
    """Clips with pose files."""
    missing: Sequence[Unreadable]
    """Clips without a pose file, or with a pose file without a body."""
    awaited: int
    """Clips of the manifest without a pose file yet, other shards included."""
    seconds: float
    """Duration of the detection."""

    def to_dict(self) -> dict[str, Any]:
        """Return the result as JSON values."""
        # The speed counts the clips of this run alone: files of earlier runs are only read.
        new = sum(clip.num_frames for clip in self.found if clip.is_new)
        return {
            "manifest": str(self.manifest),
            "clips": len(self.found),
            "earlier": sum(not clip.is_new for clip in self.found),
            "frames": sum(clip.num_frames for clip in self.found),
            "frames_with": {part: sum(clip.seen[part] for clip in self.found) for part in PARTS},
            "seconds": self.seconds,
            "frames_per_second": new / self.seconds if new else 0.0,
            "missing": [vars(clip) for clip in self.missing],
            "awaited": self.awaited,
        }

    def describe(self) -> str:
        """Return the result as lines for people."""
        content = self.to_dict()
        earlier = f", {content['earlier']} of them in earlier runs" if content["earlier"] else ""
        lines = [f"{content['clips']} clips have pose files{earlier}: {content['frames']} frames"]
        if content["frames"]:
            shares = (f"{part} {count / content['frames']:.1%}" for part, count in self._words(content))
            lines.append(f"frames with {', '.join(shares)}")
        if content["frames_per_second"]:
            lines.append(f"{content['frames_per_second']:.1f} frames/s, {self.seconds:.0f} s")
        lines += [str(clip) for clip in self.missing]
        if self.awaited:
            lines.append(f"{self.awaited} clips of the manifest have no pose file (yet)")
        return "\n".join([*lines, f"wrote {self.manifest}"])

    def _words(self, content: dict[str, Any]) -> list[tuple[str, int]]:
        words = {"body": "body", "left": "left hand", "right": "right hand", "face": "face"}
        return [(words[part], count) for part, count in content["frames_with"].items()]


def count_seen(clip: PoseClip) -> dict[str, int]:
    """Return the number of frames in which each part has a visible point."""
    # The points that the encoder reads: a body may also be seen by its knees alone.
    seen = clip.scores[:, list(clip.layout.chosen)] > THRESHOLD
    return {part: int(np.count_nonzero(seen[:, SLICES[part]].any(1))) for part in PARTS}
