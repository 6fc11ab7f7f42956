"""Clips of a text encoder: the descriptions of the frames of a clip, as token ids."""

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from ..core.errors import ConfigError, DataError
from ..core.sample import Sample
from ..corpora.descriptions import Descriptions
from ..video.sampling import FrameSampling, select_frames
from .config import HfTextConfig

if TYPE_CHECKING:  # transformers is slow to load, and only needed for texts
    from ..encoder.hf_text import TextTokens


@dataclass(frozen=True, kw_only=True)
class TextClips:
    """Reader of the descriptions of clips."""

    descriptions: Descriptions
    """Description files."""
    tokens: "TextTokens"
    """Conversion of texts to token ids."""
    sampling: FrameSampling
    """Sampling of the video's frames, by a multiple of the stride of the descriptions."""

    def read(self, sample: Sample) -> np.ndarray:
        """Return the token ids of the sampled descriptions of a clip: (T, L), int64.

        Raises:
            DataError: the clip is not described.
        """
        texts = list(self.descriptions.read(sample.split, sample.id).values())
        # Described frames are 0, d, 2 d, ...: sampling every k-th of these is sampling every (k d)-th frame.
        every = FrameSampling(
            stride=self.sampling.stride // described_stride(self.descriptions),
            max_frames=self.sampling.max_frames,
        )
        return self.tokens([texts[index] for index in select_frames(len(texts), sampling=every)])

    def check(self, samples: tuple[Sample, ...]) -> None:
        """Refuse descriptions of another corpus.

        Raises:
            DataError: none of the clips is described.
        """
        # A single clip without description is rejected later.
        if not any((sample.split, sample.id) in self.descriptions.clips for sample in samples):
            self.descriptions.read(samples[0].split, samples[0].id)  # raises the error for this clip


def described_stride(descriptions: Descriptions) -> int:
    """Return the distance between described frames.

    Raises:
        DataError: the header does not name the stride.
    """
    stride = descriptions.header["settings"].get("frame_stride")
    if type(stride) is not int or stride < 1:
        raise DataError(
            f"The header of {descriptions.files[0].path} must name settings.frame_stride, but has {stride!r}."
        )
    return stride


def text_sampling(descriptions: Descriptions, config: HfTextConfig) -> FrameSampling:
    """Return the sampling of the video's frames.

    Raises:
        ConfigError: the stride is not a multiple of the stride of the descriptions.
    """
    described = described_stride(descriptions)
    stride = config.frame_stride or described
    if stride % described:
        raise ConfigError(
            f"hf_text.frame_stride must be a multiple of {described}, the stride of the frames described in "
            f"{descriptions.folder}, but is {stride}."
        )
    return FrameSampling(stride=stride, max_frames=config.max_frames)
