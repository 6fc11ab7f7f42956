"""Subtitle files: SubRip (.srt) and WebVTT (.vtt)."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from ..core.errors import ConfigError
from ..core.files import atomic_write
from ..core.text import printable

SUFFIXES = (".srt", ".vtt")
_JOINER = "\u2060"
"""Word joiner: no width, and no player takes ``<`` or ``{`` with a joiner behind it for a tag."""


@dataclass(frozen=True, kw_only=True)
class Cue:
    """Text shown from ``start_seconds`` to ``end_seconds``."""

    start_seconds: float
    end_seconds: float
    text: str


def check_subtitles(path: Path) -> None:
    """Refuse a subtitle file of another kind.

    Raises:
        ConfigError: the suffix is neither ``.srt`` nor ``.vtt``.
    """
    if path.suffix.lower() not in SUFFIXES:
        raise ConfigError(f"Subtitles must be written to a file {' or '.join(SUFFIXES)}, but is {path}.")


def write_subtitles(path: Path, cues: Sequence[Cue]) -> None:
    """Write cues, in the order of their start, as the format that the suffix names. Empty cues are left out.

    A cue ends where the next begins: players would show the sentences of overlapping windows together.

    Raises:
        ConfigError: the suffix is neither ``.srt`` nor ``.vtt``.
    """
    check_subtitles(path)
    is_vtt = path.suffix.lower() == ".vtt"
    # Judged before the empty cues are dropped: a window without a sentence still ends the window before.
    starts = [_milliseconds(cue.start_seconds) for cue in cues]
    blocks = ["WEBVTT"] if is_vtt else []
    for number, cue in enumerate(cues):
        text = _in_vtt(cue.text) if is_vtt else _in_srt(cue.text)
        if not text:
            continue
        end = min([_milliseconds(cue.end_seconds), *starts[number + 1 : number + 2]])
        # Rounding must not leave a cue without duration: players drop it.
        times = (
            _clock(time, "." if is_vtt else ",") for time in (starts[number], max(end, starts[number] + 1))
        )
        head = [] if is_vtt else [str(len(blocks) + 1)]
        blocks.append("\n".join([*head, " --> ".join(times), text]))
    with atomic_write(path) as temporary:
        temporary.write_text("\n\n".join(blocks) + "\n" if blocks else "", encoding="utf-8")


def _milliseconds(seconds: float) -> int:
    return round(seconds * 1000)


def _clock(milliseconds: int, mark: str) -> str:
    """Return a time as both formats write it.

    >>> _clock(3_723_004, ",")
    '01:02:03,004'
    """
    seconds, thousandths = divmod(milliseconds, 1000)
    return f"{seconds // 3600:02}:{seconds // 60 % 60:02}:{seconds % 60:02}{mark}{thousandths:03}"


def _in_vtt(text: str) -> str:
    """Return a text with the escapes of WebVTT, on one line: an empty line would end the cue.

    >>> _in_vtt("a <b> & c --> d")
    'a &lt;b&gt; &amp; c --&gt; d'
    """
    escaped = _flat(text).replace("&", "&amp;").replace("<", "&lt;")
    return escaped.replace(">", "&gt;")


def _in_srt(text: str) -> str:
    """Return a text for SubRip, which has no escapes: a joiner breaks what players take for tags or times.

    >>> _in_srt("<i>rain</i> {x}").count(_JOINER)
    3
    """
    found = _flat(text).replace("-->", f"--{_JOINER}>")
    return found.replace("<", f"<{_JOINER}").replace("{", f"{{{_JOINER}")


def _flat(text: str) -> str:
    return printable(" ".join(text.split()))
