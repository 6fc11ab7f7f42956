"""Clips that turn out unreadable while a run trains: named at once, and noted in ``log.jsonl``."""

from collections.abc import Iterable
from dataclasses import asdict
from typing import Any

from ..core.progress import say
from ..core.sample import Unreadable
from .processes import gather_all

Key = tuple[str, str]


class UnreadableClips:
    """The clips that a run does without, each once; all processes agree on them at every note."""

    def __init__(self) -> None:
        """Begin with none."""
        self._noted: dict[Key, Unreadable] = {}
        self._found: dict[Key, Unreadable] = {}

    @property
    def clips(self) -> tuple[Unreadable, ...]:
        """All clips that were noted, in the order of split and id."""
        return tuple(clip for _, clip in sorted(self._noted.items()))

    def recall(self, rows: Iterable[dict[str, Any]]) -> None:
        """Take the clips that the log of an interrupted run notes."""
        clips = [Unreadable(**clip) for row in rows for clip in row.get("unreadable", ())]
        self._noted |= {(clip.split, clip.id): clip for clip in clips}

    def add(self, clips: Iterable[Unreadable]) -> None:
        """Name each clip that is not known yet on standard error."""
        for clip in clips:
            key = (clip.split, clip.id)
            if key not in self._noted and key not in self._found:
                self._found[key] = clip
                say(str(clip))

    def note(self) -> dict[str, Any] | None:
        """Return the clips of all processes that no note holds yet, as a row of the log; None without any."""
        found = dict(gather_all(list(self._found.items())))
        new = {key: clip for key, clip in sorted(found.items()) if key not in self._noted}
        self._noted |= new
        self._found.clear()
        return {"unreadable": [asdict(clip) for clip in new.values()]} if new else None
