"""Stage two: a 4-bit language model with LoRA and a projector, tuned on cached features alone."""

from .config import LoraSettings, ProjectorConfig, TuneConfig

__all__ = ["LoraSettings", "ProjectorConfig", "TuneConfig"]
