"""Settings of the augmentation of training clips; they load without torch."""

from dataclasses import dataclass, fields

from ..core.errors import ConfigError


@dataclass(frozen=True, kw_only=True)
class AugmentConfig:
    """How far a training clip may be moved and its light changed.

    Rotation, scale, translation and probability are GFSLT-VLP's (rotate 30, resize 0.2, translate 10 of 256
    pixels, each at 0.5), which shares authors with FLa-LLM; the paper itself is silent.
    """

    rotate_degrees: float = 30.0
    """Turned by up to this, either way."""
    scale: float = 0.2
    """Enlarged or shrunk by up to this share."""
    translate: float = 0.04
    """Moved by up to this share of the side, along each axis."""
    brightness: float = 0.2
    """Made lighter or darker by up to this share."""
    contrast: float = 0.2
    """Spread about its mean value more or less by up to this share."""
    probability: float = 0.5
    """The chance that a clip is moved at all, and, drawn apart, that its light is changed."""

    def __post_init__(self) -> None:
        for field in fields(self):
            value, limit = getattr(self, field.name), 180 if field.name == "rotate_degrees" else 1
            if not 0 <= value <= limit or (field.name == "scale" and value == 1):
                raise ConfigError(f"{field.name} must lie in 0..{limit}, but is {value}.")
