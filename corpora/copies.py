"""Small copies: how the videos of a manifest were made from the released ones."""

import logging
from dataclasses import dataclass
from importlib.metadata import version

from ..video.copy_settings import CODEC, COPY_VERSION, CopySettings

logger = logging.getLogger(__name__)


@dataclass(frozen=True, kw_only=True)
class Copies:
    """Origin of small copies. Features of two origins, or of the released videos, are not the same."""

    size: int
    """Shorter side in pixels. Pictures that were smaller have their own size."""
    crf: int
    """Constant rate factor of the codec."""
    codec: str
    version: int
    """``COPY_VERSION`` of the code that wrote the copies."""
    av: str
    """Version of PyAV, which brings the codec."""

    def __str__(self) -> str:
        return f"small copies of {self.size} pixels ({self.codec}, crf {self.crf})"


def copies_by(settings: CopySettings) -> Copies:
    """Return the record of copies that this code writes."""
    return Copies(size=settings.size, crf=settings.crf, codec=CODEC, version=COPY_VERSION, av=version("av"))


def warn_of_enlarging(copies: Copies | None, size: int) -> None:
    """Log a warning where an encoder looks at larger pictures than the copies hold."""
    if copies is not None and size > copies.size:
        logger.warning(
            f"The videos are {copies}, but the encoder looks at {size} pixels: pictures are enlarged.\n"
            f"Write larger copies: fla shrink --set size={size + size % 2}"
        )
