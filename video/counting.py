"""Counting a video's frames without decoding them, and noticing a file that was cut off.

A packet holds one picture, so packets are counted. Headers are not believed: they may promise frames that
are not there, or be silent. Where a packet may give no picture, the pictures are decoded and counted.
"""

import re
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from ..core.errors import DataError
from .clip import Clip
from .container import (
    DamagedVideoError,
    container_of,
    is_past,
    is_within,
    open_video,
    read_packets,
    shown_seconds,
    stored_seconds,
    time_base,
)
from .decoding import decode_frames
from .entry import REFRESH_SECONDS, is_entry_point, refreshes_gradually
from .timeline import Timeline, TimelineMaker

if TYPE_CHECKING:
    from av.packet import Packet
    from av.video.stream import VideoStream

END_TOLERANCE_SECONDS = 0.5
"""An annotated end may lie so far behind the last picture: annotation tools round."""
CUT_OFF_SECONDS = 1.0
"""A Matroska file that ends so much before its declared duration has lost its end."""
HIDDEN_PICTURE_CODECS = ("vp8",)
"""Codecs that keep pictures which are never shown (alternate references) in packets of their own."""

MICROSECONDS = 1_000_000
"""FFmpeg's clock for whole files, in ticks per second."""


@dataclass
class Tally:
    """What went by while reading packets."""

    packets: int = 0
    inside: TimelineMaker = field(default_factory=TimelineMaker)
    """The packets whose picture belongs to the clip."""
    begin_seconds: float | None = None
    """When the first packet's picture is shown."""
    end_seconds: float = 0.0
    """When the last picture seen stops being shown."""
    certain: bool = True
    """False when some packets may give no picture."""
    complete: bool = True
    """False when reading stopped behind the cut."""


def video_timeline(clip: "Clip") -> Timeline:
    """Return how many frames decoding a video, or its cut, will give, and when each is shown.

    Raises:
        DataError: the video cannot be read, is cut off, has no frames, or the cut lies beyond its end.
    """
    with open_video(clip) as stream:
        tally = _tally(stream, clip)
        if tally.complete and not clip.start_seconds:
            _refuse_cut_off(stream, clip, tally)
    timeline = tally.inside.finish(clip) if tally.certain else decoded_timeline(clip)
    _refuse_beyond_end(clip, tally.end_seconds, timeline.num_frames)
    return timeline


def decoded_timeline(clip: "Clip", *, keep_partial: bool = False) -> Timeline:
    """Return a video's timeline as decoding finds it, holding one frame at a time.

    Args:
        clip: a video file.
        keep_partial: end it before the first fault, where a frame comes before that.

    Raises:
        DamagedVideoError: a frame cannot be decoded, and the frames before it are not wanted or not there.
        DataError: the video cannot be opened.
    """
    shown = TimelineMaker()
    try:
        for frame in decode_frames(clip):
            assert frame.time_base is not None, "a decoded frame has a clock"
            shown.add(frame.time, float(frame.duration * frame.time_base))
    except DamagedVideoError:
        if not keep_partial or shown.num_frames == 0:
            raise
    return shown.finish(clip)


def _tally(stream: "VideoStream", clip: "Clip") -> Tally:
    tally = Tally(certain=stream.codec_context.name not in HIDDEN_PICTURE_CODECS)
    for packet in read_packets(stream, clip):
        if packet.size == 0:  # the end, or a frame an AVI file repeats
            continue
        seconds = shown_seconds(packet, stream)
        if tally.packets == 0:
            tally.begin_seconds = seconds
            tally.certain &= _starts_whole(packet, stream, clip)
        tally.packets += 1
        if seconds is None and tally.begin_seconds is not None:
            # Matroska cannot say that a picture is shown before the file begins.
            tally.certain = False
            continue
        length = float((packet.duration or 0) * time_base(stream))
        if is_within(seconds, clip):
            tally.inside.add(seconds, length)
            tally.certain &= _gives_picture(packet, seconds, tally)
        if seconds is not None:
            tally.end_seconds = max(tally.end_seconds, seconds + length)
        if is_past(stored_seconds(packet, stream), clip):
            tally.complete = False
            break
    return tally


def _starts_whole(packet: "Packet[VideoStream]", stream: "VideoStream", clip: "Clip") -> bool:
    """Return whether decoding from this first packet gives every picture of the clip that is shown later."""
    if is_entry_point(packet, stream):
        return True
    seconds = shown_seconds(packet, stream)
    if seconds is None or not packet.is_keyframe:
        return False
    delay = REFRESH_SECONDS if refreshes_gradually(stream) else 0.0
    return seconds + delay <= (clip.start_seconds or 0.0)


def _gives_picture(packet: "Packet[VideoStream]", seconds: float | None, tally: Tally) -> bool:
    """Return False for a picture that an edit list cuts away, or that is shown before the first key frame."""
    if packet.is_discard:
        return False
    return seconds is None or tally.begin_seconds is None or seconds >= tally.begin_seconds


def _refuse_cut_off(stream: "VideoStream", clip: "Clip", tally: Tally) -> None:
    """Refuse a file that ends before its header says, where headers are to be believed."""
    if stream.container.format.name.startswith("mov") and stream.frames > tally.packets:
        raise DamagedVideoError(
            f"{clip.path} is cut off: it declares {stream.frames} frames, but holds {tally.packets}."
        )
    declared = _declared_seconds(stream)
    ends = tally.end_seconds + float((stream.start_time or 0) * time_base(stream))
    if declared > ends + CUT_OFF_SECONDS and tally.packets:
        raise DamagedVideoError(
            f"{clip.path} is cut off: it declares {declared:.2f} s, but ends at {ends:.2f} s."
        )


def _declared_seconds(stream: "VideoStream") -> float:
    """Return how far a Matroska stream reaches by the file's header, or 0 where that says nothing of it.

    A stream beside others (a longer sound track) is held to its own tag, ``00:00:10.333``; a tag alone is not
    believed, for cutting tools copy it.
    """
    container = container_of(stream)
    if not container.format.name.startswith("matroska"):
        return 0.0
    whole = (container.duration or 0) / MICROSECONDS
    if tag := re.match(r"(\d+):(\d+):(\d+(?:\.\d+)?)", stream.metadata.get("DURATION", "")):
        return min(whole, int(tag[1]) * 3600 + int(tag[2]) * 60 + float(tag[3]))
    return whole if len(container.streams) == 1 else 0.0


def _refuse_beyond_end(clip: "Clip", end_seconds: float, num_frames: int) -> None:
    if num_frames == 0 and not clip.is_cut:
        raise DataError(f"{clip.path} must hold frames, but has none.")
    if num_frames == 0:
        to = "its end" if clip.end_seconds is None else f"{clip.end_seconds} s"
        raise DataError(
            f"{clip.path} must hold frames from {clip.start_seconds or 0.0} s to {to}, but has none there;"
            f" it ends at {end_seconds:.2f} s."
        )
    if clip.end_seconds is not None and clip.end_seconds > end_seconds + END_TOLERANCE_SECONDS:
        raise DataError(f"{clip.path} ends at {end_seconds:.2f} s, but is to be cut at {clip.end_seconds} s.")
