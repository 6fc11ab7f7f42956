"""Segments of a long clip: fixed windows, or the parts between pauses of the movement."""

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np

from ..core.errors import ConfigError

SegmentMethod = Literal["pauses", "windows"]
Span = tuple[float, float]
"""Start and end of a segment, in seconds."""
SMOOTHING_SECONDS = 0.2
"""Span over which movement is averaged: a single noisy frame is neither a pause nor a sign."""
REST_SHARE = 0.2
"""Movement of a pause, as a share of the range from rest to lively signing. Chosen, not tuned."""
RANGE_PERCENT = (1, 99)
"""Percentiles that stand for rest and for lively signing. Extremes would follow cuts of the camera."""
SHORTEST_SECONDS = 0.2
"""Shortest movement that counts as signing."""
MARGIN_SECONDS = 0.2
"""Rest that is kept before and after the signing of a segment, where the pause is long enough."""


@dataclass(frozen=True, kw_only=True)
class SegmentConfig:
    """Division of a long clip into segments that are translated separately."""

    method: SegmentMethod = "pauses"
    """``pauses``: divide where the movement rests, ``windows``: divide into windows of one length."""
    longest_seconds: float = 20.0
    """Length of a window. Between pauses the largest length: a longer part is cut at its quietest frame."""
    overlap_seconds: float = 2.0
    """Seconds that a window shares with the window before. Not used between pauses."""
    pause_seconds: float = 0.5
    """Shortest rest that divides, after averaging over 0.2 s. Not used for windows."""

    def __post_init__(self) -> None:
        least = {"longest_seconds": 1.0, "overlap_seconds": 0.0, "pause_seconds": 0.05}
        faults = [
            f"{name} must be at least {floor:g} s, but is {getattr(self, name):g} s"
            for name, floor in least.items()
            # nan is not at least anything.
            if not floor <= getattr(self, name) < math.inf
        ]
        # Between pauses the default overlap must not forbid short segments.
        if self.method == "windows" and not self.overlap_seconds < self.longest_seconds:
            faults.append(
                f"overlap_seconds must be below longest_seconds ({self.longest_seconds:g} s), but is "
                f"{self.overlap_seconds:g} s"
            )
        if faults:
            raise ConfigError("; ".join(faults) + ".")


@dataclass(frozen=True, kw_only=True)
class Motion:
    """Movement of a clip. Twelve bytes per frame: 2.6 MB for two hours at 30 frames per second."""

    times: Sequence[float]
    """Presentation time of each frame, in seconds, rising. At least one."""
    end_seconds: float
    """End of the last frame."""
    energies: Sequence[float] = ()
    """Movement from the frame before to each frame, of any unit. Empty: not measured."""


def find_segments(motion: Motion, config: SegmentConfig) -> list[Span]:
    """Return the segments of a clip, in order. Each holds at least one frame.

    A clip without any movement is divided like windows without overlap: no part of it is passed over.

    >>> still = Motion(times=[0.0, 1.0, 2.0, 3.0], end_seconds=4.0, energies=[0, 0, 0, 0])
    >>> find_segments(still, SegmentConfig(longest_seconds=3))
    [(0.0, 3.0), (3.0, 4.0)]
    """
    if config.method == "windows":
        return list(_windows(motion, config.longest_seconds, config.overlap_seconds))
    smooth = _smoothed(motion)
    rest, lively = np.percentile(smooth, RANGE_PERCENT)
    moving = smooth > rest + REST_SHARE * (lively - rest)
    parts = _parts(moving, motion, config.pause_seconds)
    if not parts:
        return list(_windows(motion, config.longest_seconds, 0.0))
    return [
        piece
        for span in _with_margins(parts, motion)
        for piece in _divided(span, motion, smooth, config.longest_seconds)
    ]


def _windows(motion: Motion, length: float, overlap: float) -> Iterator[Span]:
    times, start = np.asarray(motion.times), motion.times[0]
    while True:
        yield start, min(start + length, motion.end_seconds)
        if start + length >= motion.end_seconds:
            return
        start += length - overlap
        following = times[np.searchsorted(times, start) :]
        # The next window has a frame: the clock of a damaged file may jump by years.
        if len(following) == 0:
            return
        if following[0] >= start + length:
            start = float(following[0])


def _smoothed(motion: Motion) -> np.ndarray:
    """Return the movement averaged over ``SMOOTHING_SECONDS``, one value per frame."""
    energies = np.asarray(motion.energies, np.float64)
    # A cut of the camera changes the whole picture, but for one frame: the median of three leaves that out.
    sides = np.pad(energies, 1, mode="edge")
    energies = np.median([sides[:-2], energies, sides[2:]], axis=0)
    gap = (motion.end_seconds - motion.times[0]) / len(energies)
    # An odd number of frames, so that the mean lies around its own frame.
    width = min(2 * round(SMOOTHING_SECONDS / gap / 2) + 1 if gap > 0 else 1, 2 * len(energies) - 1)
    padded = np.pad(energies, width // 2, mode="edge")
    # Sums by differences of a running sum: the time does not depend on the width.
    sums = np.cumsum(np.concatenate([[0.0], padded]))
    return (sums[width:] - sums[:-width]) / width


def _parts(moving: np.ndarray, motion: Motion, pause_seconds: float) -> list[Span]:
    """Return the spans of movement, joined over rests shorter than a pause."""
    ends = [*motion.times[1:], motion.end_seconds]
    edges = np.flatnonzero(np.diff(np.concatenate([[False], moving, [False]])))
    parts: list[Span] = []
    for first, behind in edges.reshape(-1, 2).tolist():
        start, end = motion.times[first], ends[behind - 1]
        if parts and start - parts[-1][1] < pause_seconds:
            parts[-1] = (parts[-1][0], end)
        else:
            parts.append((start, end))
    # Judged after joining: signs with short rests between them are one long part.
    return [(start, end) for start, end in parts if end - start >= SHORTEST_SECONDS]


def _with_margins(parts: Sequence[Span], motion: Motion) -> list[Span]:
    """Return the spans with the rest beside them, at most half of each pause."""
    found: list[Span] = []
    for number, (start, end) in enumerate(parts):
        before = (start - parts[number - 1][1]) / 2 if number else start - motion.times[0]
        is_last = number + 1 == len(parts)
        after = motion.end_seconds - end if is_last else (parts[number + 1][0] - end) / 2
        found.append((start - min(before, MARGIN_SECONDS), end + min(after, MARGIN_SECONDS)))
    return found


def _divided(span: Span, motion: Motion, smooth: np.ndarray, longest: float) -> Iterator[Span]:
    """Yield a span in pieces of at most ``longest`` seconds, cut where the movement is smallest."""
    times, (start, end) = np.asarray(motion.times), span
    while end - start > longest:
        # The second half of the allowed length, so that no piece is very short.
        first, behind = np.searchsorted(times, [start + longest / 2, start + longest])
        if behind == len(times):
            break
        # A picture that stays for long may leave no frame to choose from: the next frame begins a piece.
        quietest = first + int(smooth[first:behind].argmin()) if first < behind else behind
        cut = float(times[quietest])
        if cut >= end:
            break
        yield start, cut
        start = cut
    yield start, end
