"""Settings of ``fla prepare``."""

from dataclasses import dataclass, field
from typing import Literal

from ..core.errors import ConfigError

Media = Literal["clips", "videos"]
Check = Literal["headers", "decode"]


@dataclass(frozen=True, kw_only=True)
class Columns:
    """What the columns (CSV, TSV) or keys (JSONL) of a table of your own are called."""

    id: str = "id"
    """Name of the clip, unique within a split."""
    split: str = "split"
    """Holds train, dev (also val, valid or validation) or test."""
    video: str = "video"
    """Path of a video file or a folder of frames, relative to the table's folder or to ``root``."""
    text: str = "text"
    """Spoken-language sentence."""
    language: str = "language"
    """Optional, as are the columns below."""
    signer: str = "signer"
    """Name or number of the signing person."""
    start: str = "start"
    """Seconds from the video's beginning."""
    end: str = "end"
    """Seconds from the video's beginning."""
    fps: str = "fps"
    """Frames per second, of folders of frames."""


@dataclass(frozen=True, kw_only=True)
class PrepareConfig:
    """How a release is read and how closely its media are looked at."""

    media: Media = "clips"
    """How2Sign: one file a sentence (``clips``), or long videos cut by the realigned times (``videos``)."""
    check: Check = "headers"
    """``headers`` counts frames; ``decode`` reads every frame of every clip."""
    workers: int = 8
    """Clips looked at side by side, in threads."""
    annotations: str | None = None
    """How2Sign: name of the annotation files, ``{split}`` standing for train, val and test."""
    root: str | None = None
    """Table: the folder that video paths are relative to; default: where the table lies."""
    language: str = "en"
    """Table: language of rows that do not say it."""
    fps: float | None = None
    """Table: frames per second of folders of frames that do not say it."""
    columns: Columns = field(default_factory=Columns)
    """Table: names of the columns."""

    def __post_init__(self) -> None:
        if self.workers < 1:
            raise ConfigError(f"'workers' must be at least 1, but is {self.workers}.")
        if self.fps is not None and not self.fps > 0:
            raise ConfigError(f"'fps' must be above 0, but is {self.fps}.")
        if self.annotations is not None and "{split}" not in self.annotations:
            raise ConfigError(f"'annotations' must contain {{split}}, but is {self.annotations!r}.")
