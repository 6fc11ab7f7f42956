"""When a clip's frames are shown, and which of them are looked at."""

from array import array
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from ..core.errors import DataError
from .clip import Clip
from .sampling import FrameSampling, select_at_times, select_frames


@dataclass(frozen=True, kw_only=True)
class Timeline:
    """How many frames a clip gives, and when each is shown; found out without decoding where that can be."""

    clip: Clip
    num_frames: int
    """At least 1."""
    times: Sequence[float] | None
    """When each frame begins to be shown, in seconds, never decreasing; None where nothing says so.
    Eight bytes a frame: 1.7 MB for two hours at 30 frames per second."""
    end_seconds: float = 0.0
    """When the last one stops being shown, by the clock of ``times``."""


class TimelineMaker:
    """Collects when frames are shown, in any order."""

    def __init__(self) -> None:
        """Begin with no frame."""
        self.num_frames = 0
        self._times = array("d")
        self._last = (float("-inf"), 0.0)  # when the last one is shown, and for how long

    def add(self, seconds: float | None, length: float) -> None:
        """Add a frame, shown from ``seconds`` on (None: unknown) for ``length`` seconds (0: unknown)."""
        self.num_frames += 1
        if seconds is not None:
            self._times.append(seconds)
            self._last = max(self._last, (seconds, length))

    def finish(self, clip: Clip) -> Timeline:
        """Return the timeline; a last frame of unknown length lasts as long as the mean of the others."""
        if len(self._times) < self.num_frames or not self._times:
            return even_timeline(clip, self.num_frames)
        times = array("d", np.sort(self._times).tobytes())
        gaps = max(len(times) - 1, 1)
        length = self._last[1] or (times[-1] - times[0]) / gaps
        return Timeline(
            clip=clip, num_frames=self.num_frames, times=times, end_seconds=self._last[0] + length
        )


def even_timeline(clip: Clip, num_frames: int) -> Timeline:
    """Return the timeline of frames without times: ``clip.fps`` of them a second, where that is known."""
    if clip.fps is None:
        return Timeline(clip=clip, num_frames=num_frames, times=None)
    times = [index / clip.fps for index in range(num_frames)]
    return Timeline(clip=clip, num_frames=num_frames, times=times, end_seconds=num_frames / clip.fps)


def choose_frames(timeline: Timeline, *, sampling: FrameSampling, phase: int = 0) -> list[int]:
    """Return the frames of an opened clip that are looked at.

    Raises:
        DataError: they are to be chosen by time, and the clip has none.
        ValueError: ``phase`` is out of range.
    """
    if sampling.fps is None:
        return select_frames(timeline.num_frames, sampling=sampling, phase=phase)
    if timeline.times is None:
        raise DataError(
            f"{timeline.clip.path} must carry times, or come with its frame rate, for {sampling.fps} frames a"
            " second to be looked at, but does neither.\nThin by stride instead: sampling.fps=null."
        )
    return select_at_times(timeline.times, end_seconds=timeline.end_seconds, sampling=sampling, phase=phase)
