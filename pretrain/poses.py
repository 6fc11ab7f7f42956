"""Store of key points: the pose files of all clips, read once."""

from collections.abc import Sequence

import numpy as np

from ..core.errors import DataError
from ..core.sample import Sample
from ..core.worker_memory import GIB, WorkerMemory
from ..corpora.manifest import Manifest
from ..encoder.config import EncoderConfig
from ..encoder.pose_clips import read_normalised, thin_out
from ..poses.layouts import NUM_POINTS
from .frames import FrameStore

_FRAME_BYTES = NUM_POINTS * 3 * 4


class PoseStore(FrameStore):
    """Normalised key points of the clips of a manifest, at any phase."""

    def __init__(self, manifest: Manifest, config: EncoderConfig, *, workers: int = 0) -> None:
        """Start without key points. The kept ones are shared with ``workers`` processes."""
        super().__init__(manifest, config, workers=workers)
        # Parts of the memory, because a process that is started later must find the key points there.
        self._places: dict[tuple[str, str], tuple[WorkerMemory, int, int]] = {}

    def read(self, sample: Sample, *, phase: int) -> np.ndarray:
        """Return the thinned clip, float32 (T, 69, 3).

        Raises:
            DataError: the pose file cannot be read, or shows no body.
        """
        config, place = self._config, self._places.get((sample.split, sample.id))
        if place is None:
            poses = read_normalised(self._manifest.file(sample, "poses"), config=config.poses)
        else:
            memory, start, length = place
            poses = memory.view(start, (length, NUM_POINTS, 3), np.float32)
        return thin_out(poses, sampling=config.sampling, phase=phase, fps=sample.fps)

    @property
    def filled_gib(self) -> float:
        """Memory of the kept key points, GiB."""
        return sum(length for _, _, length in self._places.values()) * _FRAME_BYTES / GIB

    def _clip_bytes(self, sample: Sample, phases: Sequence[int]) -> int:
        return sample.num_frames * _FRAME_BYTES

    def _open(
        self, sample: Sample, room: range, *, memory: WorkerMemory, phases: Sequence[int]
    ) -> str | None:
        """Read a pose file, keep the key points if ``room`` is not empty, and return the fault or None."""
        try:
            poses = read_normalised(self._manifest.file(sample, "poses"), config=self._config.poses)
        except DataError as error:
            return str(error)
        # A pose file may be longer than the video, whose frames the manifest counts.
        if poses.nbytes <= len(room):
            memory.view(room.start, poses.shape, np.float32)[:] = poses
            self._places[sample.split, sample.id] = memory, room.start, len(poses)
        return None


def open_store(manifest: Manifest, config: EncoderConfig, *, workers: int = 0) -> FrameStore:
    """Return the store for the files that an encoder reads."""
    kind = PoseStore if config.kind == "poses" else FrameStore
    return kind(manifest, config, workers=workers)
