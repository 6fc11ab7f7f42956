"""Settings of small copies: size and compression."""

from dataclasses import dataclass

from ..core.errors import ConfigError

CODEC = "libx264"
COPY_VERSION = 2
"""Version of the pictures in a copy. Copies of two versions may not lie in one folder.

2: an odd side loses its last row or column, in place of a stretch by one."""


@dataclass(frozen=True, kw_only=True)
class CopySettings:
    """Size and compression of small copies."""

    size: int = 256
    """Shorter side in pixels, an even number. Smaller pictures keep their size."""
    crf: int = 20
    """Constant rate factor of x264: 0 loses nothing, 51 the most. 6 more about halve the bytes."""

    def __post_init__(self) -> None:
        if self.size < 16 or self.size % 2:
            raise ConfigError(f"'size' must be an even number of at least 16, but is {self.size}.")
        if not 0 <= self.crf <= 51:
            raise ConfigError(f"'crf' must lie in 0..51, but is {self.crf}.")

    @property
    def options(self) -> dict[str, str]:
        """Options of the encoder."""
        # `fastdecode` leaves out arithmetic coding and deblocking: slightly larger files, decoded faster.
        # Without B-frames, packets are in the order of their times.
        return {"crf": str(self.crf), "preset": "medium", "tune": "fastdecode", "bf": "0"}
