"""Settings of an extraction."""

import os
from dataclasses import dataclass
from typing import Literal

from ..core.device import Precision
from ..core.errors import ConfigError


@dataclass(frozen=True, kw_only=True)
class TimmConfig:
    """How a backbone given as ``timm:NAME`` is made."""

    pretrained: bool = True
    """Take timm's weights, fetched when not on disk; else random ones."""
    image_size: int | None = None
    """Pixels of a side it sees; None: those it was trained at."""


@dataclass(frozen=True, kw_only=True)
class ExtractConfig:
    """How the frozen encoder is run over the videos."""

    level: Literal["sign", "frame"] | None = None
    """Features after the temporal module or before it; None: after it, where the encoder has one."""
    frame_batch: int = 32
    """Frames the backbone sees at a time. Part of what decides the last bits of a feature."""
    precision: Precision = "auto"
    """Number format to compute in; auto: bf16 where the hardware has it, else fp32."""
    phase: int = 0
    """The first frame kept of each clip, below the encoder's ``sampling.stride``."""
    workers: int | None = None
    """Processes that decode; 0: none besides the one that encodes; None: one a core, at most 16."""
    timm: TimmConfig = TimmConfig()
    """For ``--encoder timm:NAME`` alone."""
    seed: int = 0
    """Draws the random weights of a timm backbone that is not pretrained; nothing else is random."""

    def __post_init__(self) -> None:
        if self.frame_batch < 1:
            raise ConfigError(f"frame_batch must be at least 1, but is {self.frame_batch}.")
        if self.phase < 0:
            raise ConfigError(f"phase must be 0 or more, but is {self.phase}.")
        if self.workers is not None and self.workers < 0:
            raise ConfigError(f"workers must be 0 or more, but is {self.workers}.")

    @property
    def num_workers(self) -> int:
        """The number of processes that decode."""
        return min(os.cpu_count() or 1, 16) if self.workers is None else self.workers
