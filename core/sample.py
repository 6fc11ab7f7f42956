"""Signed sentences, in the form that all corpora and all stages share."""

from dataclasses import dataclass
from typing import Literal

Split = Literal["train", "dev", "test"]
SPLITS: tuple[Split, ...] = ("train", "dev", "test")


@dataclass(frozen=True, kw_only=True)
class Sample:
    """A signed sentence with its video. The key is (split, id)."""

    id: str
    """Name of the clip, unique within the split. The name may hold ``/``."""
    split: Split
    """Part of the corpus: train, dev or test."""
    video: str
    """POSIX path of a video file or a folder of frames: relative to the manifest's root, or absolute."""
    text: str
    """The sentence as the corpus has it, which is the reference of scores."""
    language: str
    """ISO 639-1 code of ``text``, such as ``de``, ``zh`` or ``en``."""
    num_frames: int
    """Number of frames from start to end of the clip."""
    fps: float
    """Frames per second of the recording."""
    signer: str | None = None
    """Name of the signing person. None: unknown."""
    start_seconds: float | None = None
    """Start of the clip in the video. None: the start of the video."""
    end_seconds: float | None = None
    """End of the clip in the video. None: the end of the video."""


@dataclass(frozen=True, kw_only=True)
class Unreadable:
    """A clip that cannot be read. Commands name the clip and continue without the clip."""

    id: str
    split: str
    reason: str

    def __str__(self) -> str:
        """Return a sentence with the name of the clip and the reason."""
        return f"{self.split} clip {self.id!r} is left out: {self.reason}"
