"""Clips on their way to the encoder: decoded ahead, in worker processes, and handed over in order."""

from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
from torch.utils.data import DataLoader, Dataset

from ..core.errors import DataError
from ..corpora.manifest import Manifest
from ..encoder.frozen import FrozenConfig
from ..video.frames import decode_all, read_frames
from ..video.sampling import select_frames
from .config import ExtractConfig
from .result import Extracted
from .views import View, augmented

FILLER = -1
"""The number of the black frames a resumed run begins with; clips are numbered from 0."""
Item = tuple[int, np.ndarray | str]
"""A clip's number, and its frames or why it cannot be read."""
_CLIPS_AHEAD = 2
"""Clips each worker decodes in advance: of 300 frames of 224 pixels they take 90 MB."""


class ClipDataset(Dataset[Item]):
    """Views of clips by number: their frames (T, S, S, 3) as the encoder sees them, or why there are none."""

    def __init__(
        self,
        manifest: Manifest,
        views: Sequence[View],
        *,
        config: FrozenConfig,
        extraction: ExtractConfig,
    ) -> None:
        """Take ``views`` of the videos of ``manifest``, for an encoder of this config."""
        self.config = config
        self._extraction = extraction
        self._manifest = manifest
        self._views = list(views)

    def __len__(self) -> int:
        return len(self._views)

    def __getitem__(self, index: int) -> Item:
        config, view = self.config, self._views[index]
        try:
            frames = self._read(view)
        except DataError as error:
            return index, str(error)
        if view.number:
            return index, augmented(frames, view, size=config.image_size, config=self._extraction)
        margin = (config.resize_size - config.image_size) // 2
        middle = slice(margin, margin + config.image_size)
        return index, np.ascontiguousarray(frames[:, middle, middle])  # what is cut off need not travel

    def _read(self, view: View) -> np.ndarray:
        config, clip = self.config, self._manifest.clip(view.sample)
        if self._has_views(view) and clip.path.is_dir():
            # All pictures, for a clip's views are kept or left out together: a damaged picture may be in
            # the phase of one of them only. (A video file is decoded to its end at any phase.)
            frames = decode_all(clip, size=config.resize_size, fit=config.fit)
            return frames[select_frames(len(frames), sampling=config.sampling, phase=view.phase)]
        return read_frames(
            clip, sampling=config.sampling, phase=view.phase, size=config.resize_size, fit=config.fit
        )

    def _has_views(self, view: View) -> bool:
        return view.sample.split == "train" and self._extraction.views > 0


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
