"""Store of decoded frames. Clips beyond the memory limit are decoded at each request."""

import logging
import os
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import partial

import numpy as np

from ..core.errors import DataError
from ..core.progress import progress
from ..core.sample import Sample, Unreadable
from ..core.worker_memory import GIB, WorkerMemory
from ..corpora.manifest import Manifest
from ..encoder.config import EncoderConfig
from ..video.frames import decode_all, read_frames
from ..video.probing import read_timeline
from ..video.sampling import count_selected
from ..video.timeline import Timeline, choose_frames

logger = logging.getLogger(__name__)


@dataclass(frozen=True, kw_only=True)
class _KeptFrames:
    """Frames of a clip in memory."""

    memory: WorkerMemory
    """Memory of the frames of all phases (K, S, S, 3), uint8."""
    start: int
    """First byte of the frames in ``memory``."""
    shape: tuple[int, ...]
    indices: list[int]
    """Numbers of the frames in the clip (K), ascending."""
    timeline: Timeline
    """Times of all frames of the clip."""

    @property
    def frames(self) -> np.ndarray:
        return self.memory.view(self.start, self.shape)


class FrameStore:
    """Frames of the clips of a manifest, at any phase."""

    def __init__(self, manifest: Manifest, config: EncoderConfig, *, workers: int = 0) -> None:
        """Start without frames. The kept frames are shared with ``workers`` processes."""
        self._manifest = manifest
        self._config = config
        self._workers = workers
        self._kept: dict[tuple[str, str], _KeptFrames] = {}

    def read(self, sample: Sample, *, phase: int) -> np.ndarray:
        """Return the thinned clip, uint8 (T, S, S, 3), S = ``resize_size``.

        Raises:
            DataError: the clip cannot be read.
        """
        kept, config = self._kept.get((sample.split, sample.id)), self._config
        if kept is None:
            clip = self._manifest.clip(sample)
            return read_frames(
                clip, sampling=config.sampling, phase=phase, size=config.resize_size, fit=config.fit
            )
        chosen = choose_frames(kept.timeline, sampling=config.sampling, phase=phase)
        return kept.frames[np.searchsorted(kept.indices, chosen)]

    @property
    def filled_gib(self) -> float:
        """Memory of the kept frames, GiB."""
        return sum(kept.frames.nbytes for kept in self._kept.values()) / GIB

    def keep(self, samples: Sequence[Sample], *, phases: Sequence[int], gib: float) -> list[Unreadable]:
        """Open every clip, and decode and keep the first clips up to a memory limit.

        Args:
            samples: the clips.
            phases: the phases of later requests.
            gib: memory limit of all kept frames, GiB.

        Returns:
            The clips that cannot be opened.

        Raises:
            ConfigError: the shared memory is too small to share kept frames with workers.
        """
        unreadable: list[Unreadable] = []
        room = self._plan(samples, phases, gib)
        memory = WorkerMemory(sum(map(len, room)), workers=self._workers)
        # Threads: FFmpeg decodes without holding Python's lock.
        pool = ThreadPoolExecutor(os.cpu_count())
        try:
            reasons = pool.map(partial(self._open, memory=memory, phases=phases), samples, room)
            bar = progress(reasons, desc="opening clips", total=len(samples), unit="clip")
            for sample, reason in zip(samples, bar, strict=True):
                if reason is not None:
                    unreadable.append(Unreadable(id=sample.id, split=sample.split, reason=reason))
                    logger.warning(str(unreadable[-1]))
        finally:
            pool.shutdown(cancel_futures=True)  # without it, an interrupt waits until all clips are open
        return unreadable

    def _plan(self, samples: Sequence[Sample], phases: Sequence[int], gib: float) -> list[range]:
        """Return the byte range of the frames of each clip, empty for clips beyond the limit."""
        # The manifest gives the sizes, so that all memory is reserved before any clip is decoded.
        limit, end = int((gib - self.filled_gib) * GIB), 0
        plan: list[range] = []
        for sample in samples:
            size = self._clip_bytes(sample, phases)
            plan.append(range(end, end + size if end + size <= limit else end))
            end = plan[-1].stop
        return plan

    def _clip_bytes(self, sample: Sample, phases: Sequence[int]) -> int:
        """Return the size of a kept clip."""
        return self._count_seen(sample, phases) * 3 * self._config.resize_size**2

    def _open(
        self, sample: Sample, room: range, *, memory: WorkerMemory, phases: Sequence[int]
    ) -> str | None:
        """Open a clip, keep the frames if ``room`` is not empty, and return the fault or None."""
        try:
            clip = self._manifest.clip(sample)
            timeline = read_timeline(clip)
            indices = self._seen(timeline, phases)
            if not room:
                return None
            frames = decode_all(clip, size=self._config.resize_size, fit=self._config.fit)
        except DataError as error:
            return str(error)
        # Frames between the phases are never requested.
        if len(indices) < len(frames):
            frames = frames[indices]
        if frames.nbytes <= len(room):  # a clip may be longer than the manifest says
            memory.view(room.start, frames.shape)[:] = frames
            self._kept[sample.split, sample.id] = _KeptFrames(
                memory=memory, start=room.start, shape=frames.shape, indices=indices, timeline=timeline
            )
        return None

    def _seen(self, timeline: Timeline, phases: Sequence[int]) -> list[int]:
        """Return the numbers of the frames of all phases."""
        sampling = self._config.sampling
        chosen = (choose_frames(timeline, sampling=sampling, phase=phase) for phase in phases)
        return sorted({index for indices in chosen for index in indices})

    def _count_seen(self, sample: Sample, phases: Sequence[int]) -> int:
        """Return an upper bound of the number of frames of all phases, from the manifest."""
        sampling = self._config.sampling
        counts = (
            count_selected(sample.num_frames, sampling=sampling, phase=phase, clip_fps=sample.fps)
            for phase in phases
        )
        return min(sample.num_frames, sum(counts))
