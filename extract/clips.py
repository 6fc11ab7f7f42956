"""Clips on their way to the encoder: decoded ahead, in worker processes, and handed over in order."""

from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
from torch.utils.data import DataLoader, Dataset

from ..core.errors import DataError
from ..core.sample import Sample
from ..corpora.manifest import Manifest
from ..encoder.frozen import FrozenConfig
from ..video.frames import read_frames
from .result import Extracted

FILLER = -1
"""The number of the black frames a resumed run begins with; clips are numbered from 0."""
Item = tuple[int, np.ndarray | str]
"""A clip's number, and its frames or why it cannot be read."""
_CLIPS_AHEAD = 2
"""Clips each worker decodes in advance: of 300 frames of 224 pixels they take 90 MB."""


class ClipDataset(Dataset[Item]):
    """Clips by number: their frames (T, S, S, 3) as the encoder sees them, or why they cannot be read."""

    def __init__(
        self, manifest: Manifest, samples: Sequence[Sample], *, config: FrozenConfig, phase: int
    ) -> None:
        self.config = config
        self._phase = phase
        self._manifest = manifest
        self._samples = list(samples)

    def __len__(self) -> int:
        return len(self._samples)

    def __getitem__(self, index: int) -> Item:
        config = self.config
        try:
            clip = self._manifest.clip(self._samples[index])
            frames = read_frames(
                clip, sampling=config.sampling, phase=self._phase, size=config.resize_size, fit=config.fit
            )
        except DataError as error:
            return index, str(error)
        margin = (config.resize_size - config.image_size) // 2
        middle = slice(margin, margin + config.image_size)
        return index, np.ascontiguousarray(frames[:, middle, middle])  # what is cut off need not travel


class ClipStream:
    """The clips of a dataset, once, in order; those that cannot be read are kept aside."""

    def __init__(self, clips: ClipDataset, *, workers: int, result: Extracted) -> None:
        """Begin to decode.

        Args:
            clips: what to decode.
            workers: processes that do it; 0: none but this one.
            result: where the time spent waiting is added.
        """
        self.rejected: list[str] = []
        """Why clips cannot be read, in order; the encoder may still be busy with clips before them."""
        self._side = clips.config.image_size
        self._result = result
        self._items = _decode_ahead(clips, workers=workers)

    def frames(self, *, filler: int) -> Iterator[tuple[int, np.ndarray]]:
        """Yield clips' numbers and frames, after ``filler`` black frames.

        Clips straddle the batches the backbone sees, and with some kernels the last bits of a frame's
        features depend on its place in the batch. A resumed run that begins with as many frames as the
        batch already held puts every frame where a run never killed would have put it.
        """
        if filler:
            yield FILLER, np.zeros((filler, self._side, self._side, 3), np.uint8)
        while True:
            with self._result.timed("decode"):
                item = next(self._items, None)
            if item is None:
                return
            index, frames = item
            if isinstance(frames, str):
                self.rejected.append(frames)
            else:
                yield index, frames


def _decode_ahead(clips: ClipDataset, *, workers: int) -> Iterator[Item]:
    loader = DataLoader(
        clips,
        batch_size=None,
        num_workers=workers,
        collate_fn=_unchanged,
        prefetch_factor=_CLIPS_AHEAD if workers else None,
    )
    yield from loader


def _unchanged(item: Any) -> Any:
    """Keep arrays as arrays: through a pipe, for shared memory is often too small in containers."""
    return item
