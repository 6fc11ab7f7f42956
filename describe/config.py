"""Settings of a description."""

import sys
from dataclasses import dataclass
from typing import Literal

from ..core.device import Precision
from ..core.errors import ConfigError
from ..video.sampling import FrameSampling

MMSLT_PROMPT = "Describe only the motion and gestures of the person in the image focus on hands and face."
"""Prompt of MMSLT (published code, llavaov.py), unchanged."""


@dataclass(frozen=True, kw_only=True)
class DescribeConfig:
    """Settings of a description."""

    prompt: str = MMSLT_PROMPT
    """Question about each frame. The default is MMSLT's."""
    frame_stride: int = 4
    """Distance between described frames. MMSLT describes every frame: 1."""
    batch: int = 8
    """Frames described at a time. The batch decides the last bits of the computation, and so a few words."""
    max_tokens: int = 256
    """Largest number of new tokens of a description."""
    quantise: Literal["none", "nf4"] = "none"
    """Format of the linear layers: that of the computation, or 4-bit NormalFloat."""
    precision: Precision = "auto"
    """Number format of the computation. ``auto``: bf16 where bf16 is faster, else fp32."""
    longest_side: int = 512
    """Larger pictures are scaled down to this longer side, in pixels, before the model's own processor."""
    threads: int | None = None
    """CPU threads of the model. None: the number in the journal, else OMP_NUM_THREADS, else one per core."""

    def __post_init__(self) -> None:
        for name in ("frame_stride", "batch", "max_tokens", "longest_side", "threads"):
            if (value := getattr(self, name)) is not None and value < 1:
                raise ConfigError(f"{name} must be at least 1, but is {value}.")
        if not self.prompt.strip():
            raise ConfigError("prompt must be a question or an order, but is empty.")

    @property
    def sampling(self) -> FrameSampling:
        """Sampling of the described frames: by stride, without a largest number."""
        return FrameSampling(stride=self.frame_stride, max_frames=sys.maxsize)
