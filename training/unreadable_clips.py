"""Clips that are unreadable in a training: printed at once, and listed in ``log.jsonl``."""

import logging
from collections.abc import Iterable
from dataclasses import asdict
from typing import Any

from ..core.sample import Unreadable
from .processes import gather_all

logger = logging.getLogger(__name__)

Key = tuple[str, str]


class UnreadableClips:
    """Set of the unreadable clips of a run, equal in all processes after each :meth:`note`."""

    def __init__(self) -> None:
        """Start without clips."""
        self._noted: dict[Key, Unreadable] = {}
        self._found: dict[Key, Unreadable] = {}

    @property
    def clips(self) -> tuple[Unreadable, ...]:
        """All noted clips, sorted by split and id."""
        return tuple(clip for _, clip in sorted(self._noted.items()))

    def recall(self, rows: Iterable[dict[str, Any]]) -> None:
        """Add the clips in the log of an interrupted run."""
        clips = [Unreadable(**clip) for row in rows for clip in row.get("unreadable", ())]
        self._noted |= {(clip.split, clip.id): clip for clip in clips}

    def add(self, clips: Iterable[Unreadable]) -> None:
        """Add clips, and print each new clip on standard error."""
        for clip in clips:
            key = (clip.split, clip.id)
            if key not in self._noted and key not in self._found:
                self._found[key] = clip
                logger.warning(str(clip))

    def note(self) -> dict[str, Any] | None:
        """Return the new clips of all processes as a row of the log, or None."""
        found = dict(gather_all(list(self._found.items())))
        new = {key: clip for key, clip in sorted(found.items()) if key not in self._noted}
        self._noted |= new
        self._found.clear()
        return {"unreadable": [asdict(clip) for clip in new.values()]} if new else None
