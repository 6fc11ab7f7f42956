"""An encoder that sees windows of frames: a transformers model made for clips, frozen as it is.

transformers itself is loaded where a model is (``hf_video.py``), for that takes seconds.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

import torch
from torch import Tensor, nn

from ..core.config import config_to_dict
from ..core.errors import ConfigError, ModelError
from ..video.resize_mode import ResizeMode
from ..video.sampling import FrameSampling
from .config import IMAGENET_MEAN, IMAGENET_STD
from .windows import Windows

if TYPE_CHECKING:
    from transformers import PreTrainedModel

ClipPool = Literal["mean", "token"]
_NOT_ARCHITECTURE = (
    "transformers_version",
    "architectures",
    "dtype",
    "id2label",
    "label2id",
    "_name_or_path",
)
"""Entries of a transformers config that do not say what is computed."""


@dataclass(frozen=True, kw_only=True)
class ClipEncoderConfig:
    """How frames become the windows a clip encoder sees, and its tokens a vector."""

    name: str
    """What it is called: the last part of its id, or its directory's name."""
    window_frames: int
    """Frames of a window: as many as the model was made for."""
    window_stride: int
    """Frames from one window's beginning to the next one's, in 1..``window_frames``."""
    pool: ClipPool = "mean"
    """``mean``: over all tokens but the class token; ``token``: the class token."""
    image_size: int = 224
    """Side in pixels of what the model sees: the middle of a frame."""
    resize_size: int = 224
    """Side in pixels frames are read at."""
    fit: ResizeMode = "crop"
    """How frames become square when they are read."""
    mean: tuple[float, float, float] = IMAGENET_MEAN
    """Subtracted from the colours red, green, blue, of 0..1."""
    std: tuple[float, float, float] = IMAGENET_STD
    """Divides the colours after that."""
    sampling: FrameSampling = FrameSampling(stride=1, max_frames=1000)
    """Which frames are looked at, before windows are cut."""

    def __post_init__(self) -> None:
        Windows(frames=self.window_frames, stride=self.window_stride)
        if self.resize_size < self.image_size:
            raise ConfigError(
                f"resize_size must be at least image_size ({self.image_size}), but is {self.resize_size}."
            )


class ClipEncoder(nn.Module):
    """Windows of frames -> a sequence of embeddings, one a window; level "frame" only.

    Shapes: U windows of W frames, S = ``image_size``, F = ``frame_size``.
    """

    def __init__(self, model: PreTrainedModel, config: ClipEncoderConfig) -> None:
        """Take a model whose ``last_hidden_state`` are tokens (U, tokens, F), the class token first if any.

        Raises:
            ModelError: ``config.pool`` is ``token`` and the model has no class token.
        """
        super().__init__()
        self.config = config
        self.model = model
        self.windows = Windows(frames=config.window_frames, stride=config.window_stride)
        self.frame_size: int = model.config.hidden_size
        self.output_size = self.frame_size
        self.temporal = None
        self._has_class_token = hasattr(model.embeddings, "cls_token")
        if config.pool == "token" and not self._has_class_token:
            raise ModelError(f"pool must be mean for {config.name}: a {self.kind} has no class token.")
        self.mean: Tensor
        self.std: Tensor
        self.register_buffer("mean", torch.tensor(config.mean).view(3, 1, 1), persistent=False)
        self.register_buffer("std", torch.tensor(config.std).view(3, 1, 1), persistent=False)

    @property
    def kind(self) -> str:
        """What transformers calls models of this kind, such as ``videomae``."""
        return self.model.config.model_type

    @property
    def settings(self) -> dict[str, Any]:
        """All settings, the model's own where they are not its kind's defaults too, as JSON can hold them."""
        own = json.loads(json.dumps(self.model.config.to_diff_dict()))
        architecture = {key: own[key] for key in sorted(own) if key not in _NOT_ARCHITECTURE}
        return {"source": "hf-video", **config_to_dict(self.config), "architecture": architecture}

    def prepare(self, device: torch.device) -> None:
        """Move to ``device``, in evaluation mode."""
        self.eval().to(device)

    def unit_features(self, frames: Tensor) -> Tensor:
        """Return a vector a window: (U W, 3, S, S) uint8, window by window -> (U, F)."""
        pixels = (frames.to(self.mean.dtype) / 255 - self.mean) / self.std
        windows = pixels.contiguous(memory_format=torch.contiguous_format).unflatten(
            0, (-1, self.windows.frames)
        )
        tokens: Tensor = self.model(pixel_values=windows).last_hidden_state
        if self.config.pool == "token":
            return tokens[:, 0]
        return tokens[:, int(self._has_class_token) :].mean(1)

    def sign_features(self, frame_features: Tensor) -> Tensor:
        """Refuse: see :meth:`require_temporal`."""
        return self.require_temporal()(frame_features)

    def require_temporal(self) -> nn.Module:
        """Refuse: there is no temporal module.

        Raises:
            ModelError: always.
        """
        raise ModelError(
            f"level must be frame, but is sign: encoder {self.config.name} has no temporal module."
        )
