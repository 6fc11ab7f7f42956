"""Frozen encoder for windows of frames: a clip model of transformers.

transformers takes seconds to load, so only ``hf_video.py`` imports transformers, where a model is loaded.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

import torch
from torch import Tensor, nn

from ..core.config import config_to_dict
from ..core.errors import ConfigError, ModelError
from ..core.sample import Medium
from ..video.geometry import ResizeMode
from ..video.sampling import FrameSampling
from ..video.transforms import normalise
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
"""Entries of a transformers config without influence on the computation."""


@dataclass(frozen=True, kw_only=True)
class ClipEncoderConfig:
    """Settings of a clip encoder: windows of frames, and pooling of tokens into a vector."""

    name: str
    """Name: the last part of the id, or the name of the directory."""
    window_frames: int
    """Frames of a window, fixed by the model."""
    window_stride: int
    """Frames from the beginning of one window to the next, in 1..``window_frames``."""
    pool: ClipPool = "mean"
    """``mean``: mean over all tokens without the class token, ``token``: class token."""
    image_size: int = 224
    """Side in pixels of the model's input, the centre of a frame."""
    resize_size: int = 224
    """Side in pixels of decoded frames."""
    fit: ResizeMode = "crop"
    """Conversion of decoded frames to squares."""
    mean: tuple[float, float, float] = IMAGENET_MEAN
    """Mean of red, green and blue in 0..1, subtracted from colours."""
    std: tuple[float, float, float] = IMAGENET_STD
    """Standard deviation of red, green and blue, the divisor of centred colours."""
    sampling: FrameSampling = FrameSampling(stride=1, max_frames=1000)
    """Sampling of frames, before windows are cut."""

    @property
    def medium(self) -> Medium:
        """Files of the samples that the encoder reads."""
        return "video"

    @property
    def poses(self) -> None:
        """None: a clip encoder reads no key points."""
        return

    def __post_init__(self) -> None:
        Windows(frames=self.window_frames, stride=self.window_stride)
        if self.resize_size < self.image_size:
            raise ConfigError(
                f"resize_size must be at least image_size ({self.image_size}), but is {self.resize_size}."
            )


class ClipEncoder(nn.Module):
    """Clip encoder: a sequence of embeddings, one for each window of frames. Level "frame" only.

    Shapes: U windows of W frames, S = ``image_size``, F = ``frame_size``.
    """

    hub_id: str | None = None
    """Id of the model on the hub. None: the model was read from a directory."""

    def __init__(self, model: PreTrainedModel, config: ClipEncoderConfig) -> None:
        """Wrap a model with a ``last_hidden_state`` of tokens (U, tokens, F), the class token first if any.

        Raises:
            ModelError: ``config.pool`` is ``token`` and the model has no class token.
        """
        super().__init__()
        self.config = config
        self.model = model
        self.windows = Windows(frames=config.window_frames, stride=config.window_stride)
        self.frame_size: int = model.config.hidden_size
        self.output_size = self.frame_size
        self.temporal = None  # the model itself covers time, within a window
        self._has_class_token = hasattr(model.embeddings, "cls_token")
        if config.pool == "token" and not self._has_class_token:
            raise ModelError(f"pool must be mean for {config.name}: a {self.kind} has no class token.")
        self.mean: Tensor
        self.std: Tensor
        # Not persistent: the settings have these values, and the fingerprint covers the settings.
        self.register_buffer("mean", torch.tensor(config.mean).view(3, 1, 1), persistent=False)
        self.register_buffer("std", torch.tensor(config.std).view(3, 1, 1), persistent=False)

    @property
    def kind(self) -> str:
        """Model type in transformers, such as ``videomae``."""
        return self.model.config.model_type

    @property
    def settings(self) -> dict[str, Any]:
        """All settings as JSON values, of the model those that differ from transformers' defaults."""
        # The round trip turns tuples into lists, as they are read back from a file.
        own = json.loads(json.dumps(self.model.config.to_diff_dict()))
        architecture = {key: own[key] for key in sorted(own) if key not in _NOT_ARCHITECTURE}
        return {"source": "hf-video", **config_to_dict(self.config), "architecture": architecture}

    def prepare(self, device: torch.device) -> None:
        """Move to ``device``, in evaluation mode."""
        self.eval().to(device)

    def unit_features(self, frames: Tensor) -> Tensor:
        """Return a vector for each window: (U W, 3, S, S) uint8, window by window -> (U, F)."""
        pixels = normalise(frames, mean=self.mean, std=self.std)
        # Batches have channels innermost, and the models take windows as (U, W, 3, S, S).
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
