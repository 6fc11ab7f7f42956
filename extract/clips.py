"""Clips by number, decoded into what the encoder sees."""

from collections.abc import Sequence

import numpy as np
from torch.utils.data import Dataset

from ..core.errors import DataError
from ..corpora.manifest import Manifest
from ..encoder.frozen import FrozenConfig
from ..video.frames import decode_all, read_frames
from ..video.probing import read_timeline
from ..video.timeline import choose_frames
from .config import ExtractConfig
from .views import View, augmented

Item = tuple[int, np.ndarray | str]
"""A clip's number, and its frames or why it cannot be read."""


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
        sampling = self._extraction.sampling(config.sampling)
        if self._has_views(view) and clip.path.is_dir():
            # All pictures, for a clip's views are kept or left out together: a damaged picture may be in
            # the phase of one of them only. (A video file is decoded to its end at any phase.)
            frames = decode_all(clip, size=config.resize_size, fit=config.fit)
            return frames[choose_frames(read_timeline(clip), sampling=sampling, phase=view.phase)]
        return read_frames(
            clip,
            sampling=sampling,
            phase=view.phase,
            size=config.resize_size,
            fit=config.fit,
            keep_partial=self._extraction.keep_partial,
        )

    def _has_views(self, view: View) -> bool:
        return view.sample.split == "train" and self._extraction.views > 0
