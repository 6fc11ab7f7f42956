"""Protocol of frozen encoders, as :class:`~.encode.BatchEncoder` and an extraction use it."""

from typing import Any, Protocol

import torch
from torch import Tensor, nn

from ..core.sample import Source
from ..video.geometry import ResizeMode
from ..video.sampling import FrameSampling
from .config import PoseConfig
from .windows import Windows


class FrozenConfig(Protocol):
    """Settings for decoding frames for an encoder."""

    @property
    def medium(self) -> Source:
        """Input of the encoder: a file of each sample, or the descriptions of its frames."""
        ...

    @property
    def poses(self) -> PoseConfig | None:
        """Settings of key points, for the medium ``poses``."""
        ...

    @property
    def image_size(self) -> int:
        """Side in pixels of the input."""
        ...

    @property
    def resize_size(self) -> int:
        """Side in pixels of decoded frames. The encoder takes the centre."""
        ...

    @property
    def fit(self) -> ResizeMode:
        """Conversion of decoded frames to squares."""
        ...

    @property
    def sampling(self) -> FrameSampling:
        """Sampling of frames."""
        ...


class FrozenEncoder(Protocol):
    """Encoder with a vector for each unit of a clip. A unit is a frame, or a window of frames.

    Implementations: :class:`~.model.VisualEncoder` (of stage one, or a timm backbone),
    :class:`~.clip_encoder.ClipEncoder`, :class:`~.pose_encoder.PoseEncoder` and
    :class:`~.hf_text.TextEncoder`.

    Shapes: U units of W = ``windows.frames`` frames, T units of one clip, F = ``frame_size``,
    D = ``output_size``.
    """

    frame_size: int
    """Size of the vector of a unit."""
    output_size: int
    """Size of a vector after the temporal module, ``frame_size`` without a temporal module."""
    windows: Windows
    """Cut of a clip into units."""

    @property
    def config(self) -> FrozenConfig:
        """Settings for decoding frames."""
        ...

    @property
    def settings(self) -> dict[str, Any]:
        """All settings as JSON values. Settings and weights determine the encoder."""
        ...

    def prepare(self, device: torch.device) -> None:
        """Move to ``device``, in evaluation mode, with the fastest memory layout."""
        ...

    def unit_features(self, frames: Tensor) -> Tensor:
        """Return a vector for each unit: (U W, 3, S, S) uint8, unit by unit -> (U, F).

        An encoder of poses takes (U, 69, 3) float32, an encoder of texts token ids (U, L) int64.
        """
        ...

    def sign_features(self, frame_features: Tensor) -> Tensor:
        """Apply the temporal module to a clip: (T, F) -> (T, D)."""
        ...

    @property
    def temporal(self) -> nn.Module | None:
        """Temporal module, if the encoder has one."""
        ...

    def require_temporal(self) -> nn.Module:
        """Return the temporal module, or raise a ModelError if there is none."""
        ...

    def state_dict(self) -> dict[str, Any]:
        """Return all weights and statistics by name."""
        ...
