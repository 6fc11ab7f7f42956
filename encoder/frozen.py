"""What :func:`~.encode.encode` and an extraction need of an encoder, whatever it is made of."""

from typing import Any, Protocol

import torch
from torch import Tensor, nn

from ..video.resize_mode import ResizeMode
from ..video.sampling import FrameSampling
from .windows import Windows


class FrozenConfig(Protocol):
    """How frames are read for an encoder."""

    @property
    def image_size(self) -> int:
        """Side in pixels of what it sees."""
        ...

    @property
    def resize_size(self) -> int:
        """Side in pixels frames are read at; the middle is seen."""
        ...

    @property
    def fit(self) -> ResizeMode:
        """How frames become square."""
        ...

    @property
    def sampling(self) -> FrameSampling:
        """Which frames are looked at."""
        ...


class FrozenEncoder(Protocol):
    """An encoder that gives a vector for each unit of a clip: a frame, or a window of frames.

    :class:`~.model.VisualEncoder` (stage one's, or a timm backbone) and
    :class:`~.clip_encoder.ClipEncoder` are such.

    Shapes: U units of W = ``windows.frames`` frames, T units of one clip, F = ``frame_size``,
    D = ``output_size``.
    """

    frame_size: int
    """Numbers in a unit's vector."""
    output_size: int
    """Numbers in a step's vector after the temporal module; ``frame_size`` where there is none."""
    windows: Windows
    """How a clip's frames are cut into units."""

    @property
    def config(self) -> FrozenConfig:
        """How frames are read."""
        ...

    @property
    def settings(self) -> dict[str, Any]:
        """Everything it was made by but its weights, as JSON can hold it."""
        ...

    def prepare(self, device: torch.device) -> None:
        """Move to ``device``, in evaluation mode, laid out for speed."""
        ...

    def unit_features(self, frames: Tensor) -> Tensor:
        """Return a vector a unit: (U W, 3, S, S) uint8, unit by unit -> (U, F)."""
        ...

    def sign_features(self, frame_features: Tensor) -> Tensor:
        """Return one clip's features after the temporal module: (T, F) -> (T, D)."""
        ...

    @property
    def temporal(self) -> nn.Module | None:
        """The temporal module, where there is one."""
        ...

    def require_temporal(self) -> nn.Module:
        """Return the temporal module, or raise a ModelError where there is none."""
        ...

    def state_dict(self) -> dict[str, Any]:
        """Return all weights and statistics by name."""
        ...
