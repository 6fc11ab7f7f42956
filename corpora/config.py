"""Settings of ``fla prepare`` and ``fla shrink``."""

import os
from dataclasses import dataclass, field
from typing import Literal

from ..core.errors import ConfigError
from ..core.sample import Task
from ..video.copy_settings import CopySettings

Media = Literal["clips", "videos"]
Check = Literal["headers", "decode"]


@dataclass(frozen=True, kw_only=True)
class Columns:
    """Names of the columns (CSV, TSV) or keys (JSON Lines) of a table."""

    id: str = "id"
    """Name of the clip, unique within a split."""
    split: str = "split"
    """Holds train, dev (also val, valid or validation) or test."""
    video: str = "video"
    """Path of a video file or a folder of frames: absolute, or relative to the table's folder or ``root``."""
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
    """Frames per second, of folders of frames and of pose files."""
    poses: str = "poses"
    """Path of a pose file. A table with this column needs no videos."""
    task: str = "task"
    """Holds translate, recognise or isolated: what the text is. Empty: the setting ``task``."""
    references: tuple[str, ...] = ()
    """Columns with further correct sentences, for multi-reference BLEU. Read in dev and test alone."""

    @property
    def names(self) -> set[str]:
        """Names of all columns."""
        return {name for name in vars(self).values() if isinstance(name, str)} | {*self.references}


@dataclass(frozen=True, kw_only=True)
class PrepareConfig:
    """Settings for reading a corpus and checking the videos."""

    media: Media = "clips"
    """Media of How2Sign: a file per sentence (``clips``), or long videos cut at given times (``videos``)."""
    check: Check = "headers"
    """Check of each clip: ``headers`` counts frames, ``decode`` decodes every frame."""
    workers: int = 8
    """Number of threads for the checks of clips."""
    poses: str | None = None
    """Folder of pose files, named by the ids of the clips. With pose files a corpus needs no videos."""
    annotations: str | None = None
    """Name of the annotation files of How2Sign. ``{split}`` stands for train, val and test."""
    root: str | None = None
    """Table: folder for relative video paths. Default: the folder of the table."""
    language: str = "en"
    """Language of the rows of a table without a language, and of the sentences of Uni-Sign's label files."""
    fps: float | None = None
    """Frames per second of pose files and, in a table, of folders of frames, where no file says it."""
    task: Task | None = None
    """Task of Uni-Sign's label files, and of the rows of a table without a task. ``recognise`` takes the
    glosses of label files. None: translate, and recognise for labels with glosses alone."""
    columns: Columns = field(default_factory=Columns)
    """Table: names of the columns."""

    def __post_init__(self) -> None:
        if self.workers < 1:
            raise ConfigError(f"'workers' must be at least 1, but is {self.workers}.")
        if self.fps is not None and not self.fps > 0:
            raise ConfigError(f"'fps' must be above 0, but is {self.fps}.")
        # One name for all splits would read the training sentences as test sentences.
        if self.annotations is not None and "{split}" not in self.annotations:
            raise ConfigError(f"'annotations' must contain {{split}}, but is {self.annotations!r}.")


@dataclass(frozen=True, kw_only=True)
class ShrinkConfig(CopySettings):
    """Settings for small copies of videos."""

    workers: int | None = None
    """Number of threads that copy clips. None: one for each core."""

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.workers is not None and self.workers < 1:
            raise ConfigError(f"'workers' must be at least 1, but is {self.workers}.")

    @property
    def num_workers(self) -> int:
        """Number of threads."""
        return self.workers or os.cpu_count() or 1
