"""Settings of training augmentation. This module loads without torch."""

from dataclasses import dataclass, fields

from ..core.errors import ConfigError


@dataclass(frozen=True, kw_only=True)
class AugmentConfig:
    """Bounds of the random geometry and brightness of a training clip.

    Rotation, scale, translation and probability follow GFSLT-VLP (rotate 30, resize 0.2, translate 10 of 256
    pixels, each at 0.5). GFSLT-VLP shares authors with FLa-LLM, whose paper states no augmentation.
    """

    rotate_degrees: float = 30.0
    """Largest rotation in degrees, in both directions."""
    scale: float = 0.2
    """Largest change of size, as a share of the size."""
    translate: float = 0.04
    """Largest shift along each axis, as a share of the side."""
    brightness: float = 0.2
    """Largest change of the mean brightness, as a share."""
    contrast: float = 0.2
    """Largest change of the contrast about the mean value, as a share."""
    probability: float = 0.5
    """Probability of a geometric change, and, drawn separately, of a change of brightness and contrast."""

    def __post_init__(self) -> None:
        for field in fields(self):
            value, limit = getattr(self, field.name), 180 if field.name == "rotate_degrees" else 1
            # A scale of 1 could shrink a picture to nothing.
            if not 0 <= value <= limit or (field.name == "scale" and value == 1):
                raise ConfigError(f"{field.name} must lie in 0..{limit}, but is {value}.")
