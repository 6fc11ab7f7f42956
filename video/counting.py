"""Count the frames of a video by packets, and detect files that are cut off.

A packet holds one frame. Frame counts in headers are not used, since a header may declare missing frames or
declare nothing. Where a packet may yield no frame, the video is decoded and the decoded frames are counted.
"""

import re
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from ..core.errors import DataError
from .clip import Clip
from .container import (
    DamagedVideoError,
    container_of,
    decoding_seconds,
    is_past,
    is_within,
    open_video,
    presentation_seconds,
    read_packets,
    time_base,
)
from .decoding import decode_frames
from .random_access import REFRESH_SECONDS, is_random_access_point, refreshes_gradually
from .timeline import Timeline, TimelineBuilder

if TYPE_CHECKING:
    from av.packet import Packet
    from av.video.stream import VideoStream

END_TOLERANCE_SECONDS = 0.5
"""Largest distance of an annotated end after the last frame. Annotation tools round."""
CUT_OFF_SECONDS = 1.0
"""Distance to the declared duration from which a Matroska file counts as cut off."""
HIDDEN_PICTURE_CODECS = ("vp8",)
"""Codecs with separate packets for hidden frames (alternate references)."""

MICROSECONDS = 1_000_000
"""Ticks per second of container durations in FFmpeg (AV_TIME_BASE)."""


@dataclass
class PacketCount:
    """Packets read so far, and the times of the frames inside the clip."""

    packets: int = 0
    inside: TimelineBuilder = field(default_factory=TimelineBuilder)
    """Times of the packets inside the clip."""
    begin_seconds: float | None = None
    """Presentation time of the first packet."""
    end_seconds: float = 0.0
    """End of the last frame shown."""
    certain: bool = True
    """Whether every packet inside the clip yields a frame."""
    complete: bool = True
    """Whether packets were read to the end of the file, not only to the end of the cut."""


def video_timeline(clip: "Clip") -> Timeline:
    """Return the number and the times of the frames that decoding a clip yields.

    Raises:
        DataError: the video cannot be read, is cut off or has no frames, or the cut is beyond the end.
    """
    with open_video(clip) as stream:
        count = _count_packets(stream, clip)
        if count.complete and not clip.start_seconds:
            _refuse_cut_off(stream, clip, count)
    timeline = count.inside.finish(clip) if count.certain else decoded_timeline(clip)
    _refuse_beyond_end(clip, count.end_seconds, timeline.num_frames)
    return timeline


def decoded_timeline(clip: "Clip", *, keep_partial: bool = False) -> Timeline:
    """Decode a video and return the number and the times of the frames. Memory holds one frame.

    Args:
        clip: a video file.
        keep_partial: end the timeline before the first decoding error, if at least one frame precedes it.

    Raises:
        DamagedVideoError: a frame cannot be decoded, and ``keep_partial`` is off or no frame precedes it.
        DataError: the video cannot be opened.
    """
    shown = TimelineBuilder()
    try:
        for frame in decode_frames(clip):
            assert frame.time_base is not None, "a decoded frame has a clock"
            shown.add(frame.time, float(frame.duration * frame.time_base))
    except DamagedVideoError:
        if not keep_partial or shown.num_frames == 0:
            raise
    return shown.finish(clip)


def _count_packets(stream: "VideoStream", clip: "Clip") -> PacketCount:
    count = PacketCount(certain=stream.codec_context.name not in HIDDEN_PICTURE_CODECS)
    for packet in read_packets(stream, clip):
        # An empty packet marks the end, or a repeated frame in AVI.
        if packet.size == 0:
            continue
        seconds = presentation_seconds(packet, stream)
        if count.packets == 0:
            count.begin_seconds = seconds
            count.certain &= _starts_complete(packet, stream, clip)
        count.packets += 1
        if seconds is None and count.begin_seconds is not None:
            # Matroska has no negative timestamps, so leading frames of a copied part lose theirs.
            count.certain = False
            continue
        length = float((packet.duration or 0) * time_base(stream))
        if is_within(seconds, clip):
            count.inside.add(seconds, length)
            count.certain &= _yields_frame(packet, seconds, count)
        if seconds is not None:
            count.end_seconds = max(count.end_seconds, seconds + length)
        # No later packet is shown before its decoding time, so the rest of the file is not read.
        if is_past(decoding_seconds(packet, stream), clip):
            count.complete = False
            break
    return count


def _starts_complete(packet: "Packet[VideoStream]", stream: "VideoStream", clip: "Clip") -> bool:
    """Return whether decoding from this first packet yields every later frame of the clip."""
    if is_random_access_point(packet, stream):
        return True
    seconds = presentation_seconds(packet, stream)
    if seconds is None or not packet.is_keyframe:
        return False
    # Gradual refresh needs some frames until the picture is whole.
    delay = REFRESH_SECONDS if refreshes_gradually(stream) else 0.0
    return seconds + delay <= (clip.start_seconds or 0.0)


def _yields_frame(packet: "Packet[VideoStream]", seconds: float | None, count: PacketCount) -> bool:
    """Return False for a frame that an edit list removes, or that is shown before the first key frame."""
    if packet.is_discard:
        return False
    return seconds is None or count.begin_seconds is None or seconds >= count.begin_seconds


def _refuse_cut_off(stream: "VideoStream", clip: "Clip", count: PacketCount) -> None:
    """Refuse an MP4 or Matroska file that ends before the declared end."""
    # Other containers declare no number of frames, or an estimate.
    if stream.container.format.name.startswith("mov") and stream.frames > count.packets:
        raise DamagedVideoError(
            f"{clip.path} is cut off: it declares {stream.frames} frames, but holds {count.packets}."
        )
    declared = _declared_seconds(stream)
    ends = count.end_seconds + float((stream.start_time or 0) * time_base(stream))
    if declared > ends + CUT_OFF_SECONDS and count.packets:
        raise DamagedVideoError(
            f"{clip.path} is cut off: it declares {declared:.2f} s, but ends at {ends:.2f} s."
        )


def _declared_seconds(stream: "VideoStream") -> float:
    """Return the declared end of a Matroska stream in seconds, or 0 if nothing is declared."""
    container = container_of(stream)
    # MP4 declares a number of frames, which is checked above.
    if not container.format.name.startswith("matroska"):
        return 0.0
    whole = (container.duration or 0) / MICROSECONDS
    # Other streams may be longer (sound), so the stream's own tag is used. Cutting tools copy the tag, so it
    # counts only up to the duration of the file.
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
