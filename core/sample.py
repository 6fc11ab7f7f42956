"""One signed sentence, as every corpus gives it and every stage reads it."""

from dataclasses import dataclass
from typing import Literal

Split = Literal["train", "dev", "test"]
SPLITS: tuple[Split, ...] = ("train", "dev", "test")


@dataclass(frozen=True, kw_only=True)
class Sample:
    """One signed sentence. Its key is (split, id)."""

    id: str
    """Unique within its split; may hold ``/``."""
    split: Split
    """Where it belongs."""
    video: str
    """POSIX path of a video file or a folder of frames: relative to the manifest's root, or absolute."""
    text: str
    """The sentence, raw: what scores are measured against."""
    language: str
    """ISO 639-1 code of ``text``, such as ``de``, ``zh`` or ``en``."""
    num_frames: int
    """Frames of the clip, between its times where it has any."""
    fps: float
    """Frames per second of the recording."""
    signer: str | None = None
    """Who signs, where the corpus says so."""
    start_seconds: float | None = None
    """Where the clip begins in its video; None for the video's beginning."""
    end_seconds: float | None = None
    """Where the clip ends in its video; None for the video's end."""


@dataclass(frozen=True, kw_only=True)
class Unreadable:
    """A clip that cannot be read: a command names the clip and goes on without it."""

    id: str
    split: str
    reason: str

    def __str__(self) -> str:
        """Return the sentence that names the clip."""
        return f"{self.split} clip {self.id!r} is left out: {self.reason}"
