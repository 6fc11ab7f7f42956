"""Signed sentences, in the form of all corpora and all stages."""

from dataclasses import asdict, dataclass
from typing import Any, Literal

Split = Literal["train", "dev", "test"]
Medium = Literal["video", "poses"]
"""The fields of a sample that name a file."""
Source = Literal["video", "poses", "descriptions"]
"""Input of a frozen encoder: a file of the sample, or the descriptions of its frames."""
SPLITS: tuple[Split, ...] = ("train", "dev", "test")
Task = Literal["translate", "recognise", "isolated"]
"""Content of a sample's text: a sentence, the glosses of the sentence, or the word of a single sign."""
TASKS: tuple[Task, ...] = ("translate", "recognise", "isolated")
DEFAULT_TASK: Task = "translate"
"""Task of a sample without a task of its own."""


@dataclass(frozen=True, kw_only=True)
class Sample:
    """A signed sentence with its video, its key points, or both. The key is (split, id)."""

    id: str
    """Name of the clip, unique within the split. The name may hold ``/``."""
    split: Split
    """Part of the corpus: train, dev or test."""
    video: str | None = None
    """POSIX path of a video file or a folder of frames: relative to the manifest's root, or absolute. None:
    the clip has key points alone."""
    poses: str | None = None
    """POSIX path of a pose file, like ``video``. The file holds the frames of this clip alone. None: the clip
    has no pose file."""
    text: str
    """The unchanged sentence of the corpus, which is the reference of scores. For ``recognise`` the glosses
    with spaces between them, for ``isolated`` the word of the sign."""
    references: tuple[str, ...] = ()
    """Further correct sentences of a dev or test clip, besides ``text``. Multi-reference BLEU reads these."""
    language: str
    """ISO 639-1 code of ``text``, such as ``de``, ``zh`` or ``en``."""
    num_frames: int
    """Number of frames from start to end of the clip: of the video, or of the pose file without a video."""
    fps: float
    """Frames per second of the recording."""
    signer: str | None = None
    """Name of the signing person. None: unknown."""
    start_seconds: float | None = None
    """Start of the clip in the video. None: the start of the video."""
    end_seconds: float | None = None
    """End of the clip in the video. None: the end of the video."""
    task: Task = DEFAULT_TASK
    """Content of ``text``, which decides the prompt of stage two and the metric."""

    def to_dict(self) -> dict[str, Any]:
        """Return the fields for a line of a manifest, without absent fields and the default task."""
        fields = {key: value for key, value in asdict(self).items() if value not in (None, ())}
        # Manifests from before there were tasks keep their bytes.
        return fields if self.task != DEFAULT_TASK else {k: v for k, v in fields.items() if k != "task"}


@dataclass(frozen=True, kw_only=True)
class Unreadable:
    """A clip that cannot be read. Commands name the clip and continue without the clip."""

    id: str
    split: str
    reason: str

    def __str__(self) -> str:
        """Return a sentence with the name of the clip and the reason."""
        return f"{self.split} clip {self.id!r} is left out: {self.reason}"
