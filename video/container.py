"""Video files, through PyAV: what is opened, what is refused, and when each picture is shown.

Only files are opened, and only of the formats below: FFmpeg would also draw a text file as a picture
of its letters, and follow a playlist to other files. One thread decodes: clips are decoded side by side
in worker processes.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, cast

from ..core.errors import DataError
from .clip import Clip
from .entry import REFRESH_SECONDS, is_entry_point, refreshes_gradually
from .geometry import MAX_PIXELS, refuse_absurd_size

if TYPE_CHECKING:
    from fractions import Fraction

    from av.container import InputContainer
    from av.packet import Packet
    from av.video.frame import VideoFrame
    from av.video.stream import VideoStream

FORMATS = (
    "mov,mp4,m4a,3gp,3g2,mj2,matroska,webm,avi,mpegts,mpeg,mpegvideo,flv,asf,ogg,mxf,h264,hevc,ivf,gif,"
    "yuv4mpegpipe"
)
SEEK_MARGIN_SECONDS = 1.0
"""Pictures are shown later than they are stored, so the jump to a cut's start lands a little before it."""
INDEXED_FORMATS = ("mov", "matroska")
"""Formats whose index makes a jump land on a picture that can be decoded by itself."""
BOUND_SECONDS = 1e-6
"""A picture this little before a bound counts as on it: 0.1 s has no exact float."""


class DamagedVideoError(DataError):
    """A video breaks off, or cannot be decoded to its end; frames before the fault may be good."""


@contextmanager
def open_video(clip: "Clip") -> Iterator["VideoStream"]:
    """Open a file and yield its video stream, with the decoder set up but nothing decoded.

    With several video streams FFmpeg's choice is taken: the one marked as default before the others.

    Raises:
        DataError: there is no such file, it is not a video, or declares pictures of an absurd size.
    """
    import av
    from av.error import FFmpegError

    if not clip.path.is_file():
        what = "is not a plain file" if clip.path.exists() else "does not exist"
        raise DataError(f"{clip.path} must be a video file or a folder of pictures, but {what}.")
    if clip.path.stat().st_size == 0:
        raise DataError(f"{clip.path} must be a video file, but is empty (0 bytes).")
    container: InputContainer | None = None
    try:
        # file: and an absolute path, so that no name is taken for a protocol (a:b.mp4)
        container = av.open(
            f"file:{clip.path.absolute()}",
            container_options={"format_whitelist": FORMATS},
            metadata_errors="replace",
        )
        yield _video_stream(container, clip)
    except FFmpegError as error:
        raise DataError(
            f"{clip.path} cannot be read as a video (mp4, mkv, webm, avi, ...): {reason(error)}."
        ) from error
    finally:
        if container is not None:
            container.close()


def read_packets(stream: "VideoStream", clip: "Clip") -> Iterator["Packet[VideoStream]"]:
    """Yield a stream's packets from the beginning, or from shortly before a cut, to the end of the file.

    Raises:
        DamagedVideoError: a packet is not whole, or the file cannot be read to its end.
    """
    from av.error import FFmpegError

    container, start = container_of(stream), clip.start_seconds or 0.0
    try:
        if start > SEEK_MARGIN_SECONDS and container.format.name.startswith(INDEXED_FORMATS):
            _seek(stream, clip)
        for index, packet in enumerate(container.demux(stream)):
            if packet.is_corrupt:
                raise DamagedVideoError(f"{clip.path} is damaged: packet {index} is not whole.")
            yield packet
    except FFmpegError as error:
        raise DamagedVideoError(
            f"{clip.path} is damaged: it cannot be read to its end: {reason(error)}."
        ) from error


def shown_seconds(part: "Packet[VideoStream] | VideoFrame", stream: "VideoStream") -> float | None:
    """Return when a picture is shown, counted from the stream's beginning; None where the file is silent."""
    return None if part.pts is None else float((part.pts - (stream.start_time or 0)) * time_base(stream))


def stored_seconds(packet: "Packet[VideoStream]", stream: "VideoStream") -> float | None:
    """Return a packet's place in storing order, in seconds: no later packet is shown before it."""
    return None if packet.dts is None else float((packet.dts - (stream.start_time or 0)) * time_base(stream))


def is_within(seconds: float | None, clip: "Clip") -> bool:
    """Return whether a picture belongs to the clip.

    Raises:
        DataError: the clip is a cut, but the file carries no times.
    """
    if not clip.is_cut:
        return True
    if seconds is None:
        raise DataError(f"{clip.path} carries no times, so it cannot be cut by seconds.")
    return seconds >= (clip.start_seconds or 0.0) - BOUND_SECONDS and not is_past(seconds, clip)


def is_past(seconds: float | None, clip: "Clip") -> bool:
    """Return whether a time lies at or behind the clip's end."""
    if seconds is None or clip.end_seconds is None:
        return False
    return seconds >= clip.end_seconds - BOUND_SECONDS


def container_of(stream: "VideoStream") -> "InputContainer":
    """Return the opened file a stream belongs to."""
    return cast("InputContainer", stream.container)


def time_base(stream: "VideoStream") -> "Fraction":
    """Return the seconds one tick of a stream's clock lasts."""
    assert stream.time_base is not None, "an opened stream has a clock"
    return stream.time_base


def pixel_aspect(stream: "VideoStream") -> float:
    """Return a stored pixel's width / height: as the container says, else the codec, else 1."""
    return float(stream.sample_aspect_ratio or 1)


def reason(error: Exception) -> str:
    """Return what FFmpeg says of a fault, without its numbers and paths."""
    return str(getattr(error, "strerror", None) or error)


def _seek(stream: "VideoStream", clip: "Clip") -> None:
    """Jump to a key frame from which every frame of the clip can be decoded."""
    _seek_before(stream, clip, SEEK_MARGIN_SECONDS)
    if not refreshes_gradually(stream):
        return
    landed = next(container_of(stream).demux(stream))
    whole_at_once = is_entry_point(landed, stream)
    # Reading the packet moved on, so the jump is made again.
    _seek_before(stream, clip, SEEK_MARGIN_SECONDS if whole_at_once else REFRESH_SECONDS)


def _seek_before(stream: "VideoStream", clip: "Clip", margin: float) -> None:
    seconds = max(0.0, (clip.start_seconds or 0.0) - margin)
    ticks = int(seconds / time_base(stream)) + (stream.start_time or 0)
    container_of(stream).seek(ticks, stream=stream)


def _video_stream(container: "InputContainer", clip: "Clip") -> "VideoStream":
    from av.video.stream import VideoStream

    stream = container.streams.best("video")
    if not isinstance(stream, VideoStream):
        raise DataError(f"{clip.path} must hold a video stream, but has none.")
    context = stream.codec_context
    if context is None:
        raise DataError(f"{clip.path} holds a video stream that this FFmpeg cannot decode.")
    refuse_absurd_size(
        clip.path, height=context.height, width=context.width, pixel_aspect=pixel_aspect(stream)
    )
    context.thread_count = 1
    context.options = {"max_pixels": str(MAX_PIXELS)}  # the size may also change in mid-stream
    return stream
