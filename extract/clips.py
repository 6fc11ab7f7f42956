"""Clips by number, decoded into frames for the encoder."""

from collections.abc import Sequence

import numpy as np
from torch.utils.data import Dataset

from ..core.errors import DataError
from ..core.seeds import derive_seed
from ..corpora.manifest import Manifest
from ..encoder.frozen import FrozenConfig
from ..encoder.hand_crops import HANDS, check_frames, crop_hands, hand_boxes
from ..encoder.pose_clips import read_normalised, thin_out
from ..poses.reading import read_poses
from ..video.frames import decode_all, read_frames
from ..video.probing import probe, read_timeline
from ..video.timeline import choose_frames
from .config import ExtractConfig
from .text_clips import TextClips
from .views import View, augmented

Item = tuple[int, np.ndarray | str]
"""Number of a clip, with the frames, or with the reason why the clip cannot be read."""


class ClipDataset(Dataset[Item]):
    """Views of clips by number, or the reason why there are none.

    A view is frames (T, S, S, 3), uint8. For an encoder of poses a view is key points (T, 69, 3), float32.
    For a text encoder a view is token ids (T, L), int64.
    """

    def __init__(
        self,
        manifest: Manifest,
        views: Sequence[View],
        *,
        config: FrozenConfig,
        extraction: ExtractConfig,
        texts: TextClips | None = None,
    ) -> None:
        """Take ``views`` of the clips of ``manifest``, for an encoder with the settings ``config``.

        ``texts`` are the descriptions for a text encoder.
        """
        self.config = config
        self._extraction = extraction
        self._manifest, self._texts = manifest, texts
        self._views = list(views)

    def __len__(self) -> int:
        return len(self._views)

    def __getitem__(self, index: int) -> Item:
        """Decode a view, cropped to the image size S of the encoder."""
        config, view = self.config, self._views[index]
        try:
            frames = self._read(view)
        except DataError as error:  # a value, because one damaged video must not end the extraction
            return index, str(error)
        if config.medium != "video":
            return index, frames
        if view.number:
            return index, augmented(frames, view, size=config.image_size, config=self._extraction)
        margin = (config.resize_size - config.image_size) // 2
        centre = slice(margin, margin + config.image_size)
        return index, np.ascontiguousarray(frames[:, centre, centre])  # the border need not travel

    def id_of(self, index: int) -> str:
        """Return the id of the clip of a view."""
        return self._views[index].sample.id

    def _read(self, view: View) -> np.ndarray:
        if self._texts is not None:
            return self._texts.read(view.sample)
        if self._extraction.crop == "hands":
            return self._crop_hands(view)
        return self._read_poses(view) if self.config.medium == "poses" else self._decode(view)

    def _read_poses(self, view: View) -> np.ndarray:
        """Return the key points of a view: (T, 69, 3), float32."""
        config, sample = self.config, view.sample
        assert config.poses is not None, "the medium is poses"
        path = self._manifest.file(sample, "poses")
        return thin_out(
            read_normalised(path, config=config.poses),
            sampling=self._extraction.sampling(config.sampling),
            phase=view.frame_offset,
            fps=sample.fps,
        )

    def _crop_hands(self, view: View) -> np.ndarray:
        """Return pictures of both hands: (T, S, S, 3), uint8, S the image size of the encoder."""
        sample, hands = view.sample, self._extraction.hands
        clip, place = self._manifest.clip(sample), self._manifest.file(sample, "poses")
        poses, info, timeline = read_poses(place), probe(clip), read_timeline(clip)
        check_frames(poses, timeline.num_frames, origin=str(place))
        chosen = {"sampling": self._extraction.sampling(self.config.sampling), "phase": view.frame_offset}
        boxes = hand_boxes(
            poses, choose_frames(timeline, **chosen), height=info.height, width=info.width, config=hands,
            seed=derive_seed(self._extraction.seed, "hands", sample.id),
        )  # fmt: skip
        frames = read_frames(clip, **chosen, size=hands.source_size, fit=self.config.fit)
        return crop_hands(frames, boxes, size=self.config.image_size // len(HANDS))

    def _decode(self, view: View) -> np.ndarray:
        config, clip = self.config, self._manifest.clip(view.sample)
        sampling = self._extraction.sampling(config.sampling)
        has_views = view.sample.split == "train" and self._extraction.views > 0
        if has_views and clip.path.is_dir():
            # All pictures, because the views of a clip are kept or left out together, and a damaged picture
            # may be in the phase of one view only. (A video file is decoded to its end at any phase.)
            frames = decode_all(clip, size=config.resize_size, fit=config.fit)
            return frames[choose_frames(read_timeline(clip), sampling=sampling, phase=view.frame_offset)]
        return read_frames(
            clip,
            sampling=sampling,
            phase=view.frame_offset,
            size=config.resize_size,
            fit=config.fit,
            keep_partial=self._extraction.keep_partial,
        )
