"""Open and demultiplex video files with PyAV, and read presentation times.

Only plain files of the formats below are opened. FFmpeg would also draw a text file as a picture of letters,
and follow a playlist to other files.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

from ..core.errors import DataError
from .clip import Clip
from .geometry import MAX_PIXELS, refuse_absurd_size
from .random_access import REFRESH_SECONDS, is_random_access_point, refreshes_gradually

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
"""Distance of the seek target before the start of a cut. Frames are shown later than stored."""
INDEXED_FORMATS = ("mov", "matroska")
"""Formats with an index, in which a seek lands on a key frame."""
CUT_TOLERANCE_SECONDS = 1e-6
"""Tolerance at the bounds of a cut. 0.1 s has no exact float."""


class DamagedVideoError(DataError):
    """Error of a video that cannot be decoded to the end. Frames before the fault may be good."""


@contextmanager
def open_video(clip: "Clip") -> Iterator["VideoStream"]:
    """Open a file and yield the video stream, ready to decode.

    Of several video streams FFmpeg selects the default stream.

    Raises:
        DataError: the file does not exist, is not a video, or declares pictures of an absurd size.
    """
    from av.error import FFmpegError

    if not clip.path.is_file():
        what = "is not a plain file" if clip.path.exists() else "does not exist"
        raise DataError(f"{clip.path} must be a video file or a folder of pictures, but {what}.")
    if clip.path.stat().st_size == 0:
        raise DataError(f"{clip.path} must be a video file, but is empty (0 bytes).")
    container: InputContainer | None = None
    try:
        container = _open(clip.path)
        yield _video_stream(container, clip)
    except FFmpegError as error:
        raise DataError(
            f"{clip.path} cannot be read as a video (mp4, mkv, webm, avi, ...): {reason(error)}."
        ) from error
    finally:
        if container is not None:
            container.close()


def _open(path: Path) -> "InputContainer":
    import av

    # Titles in a wrong encoding are no reason to refuse a video. PyAV accepts them unasked since version 19.
    lenient: dict[str, Any] = {"metadata_errors": "replace"} if int(av.__version__.split(".")[0]) < 19 else {}
    # With "file:" and an absolute path FFmpeg takes no name for a protocol (a:b.mp4).
    return av.open(f"file:{path.absolute()}", container_options={"format_whitelist": FORMATS}, **lenient)


def read_packets(stream: "VideoStream", clip: "Clip") -> Iterator["Packet[VideoStream]"]:
    """Yield the packets of a stream, from the beginning or from shortly before a cut, to the end of the file.

    Raises:
        DamagedVideoError: a packet is incomplete, or the file cannot be read to the end.
    """
    from av.error import FFmpegError

    container, start = container_of(stream), clip.start_seconds or 0.0
    try:
        # Other formats may land behind the wanted frame, so these are read from the start.
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


def presentation_seconds(part: "Packet[VideoStream] | VideoFrame", stream: "VideoStream") -> float | None:
    """Return the presentation time in seconds from the start of the stream, or None without a timestamp."""
    return None if part.pts is None else _seconds(part.pts, stream)


def decoding_seconds(packet: "Packet[VideoStream]", stream: "VideoStream") -> float | None:
    """Return the decoding time of a packet in seconds. No later packet is shown before this time."""
    return None if packet.dts is None else _seconds(packet.dts, stream)


def _seconds(ticks: int, stream: "VideoStream") -> float:
    # The same number as by way of a Fraction, which would take a tenth of the time of small videos.
    clock = time_base(stream)
    return (ticks - (stream.start_time or 0)) * clock.numerator / clock.denominator


def is_within(seconds: float | None, clip: "Clip") -> bool:
    """Return whether a frame shown at ``seconds`` belongs to the clip.

    Raises:
        DataError: the clip is a cut, but the file has no timestamps.
    """
    if not clip.is_cut:
        return True
    if seconds is None:
        raise DataError(f"{clip.path} carries no times, so it cannot be cut by seconds.")
    return seconds >= (clip.start_seconds or 0.0) - CUT_TOLERANCE_SECONDS and not is_past(seconds, clip)


def is_past(seconds: float | None, clip: "Clip") -> bool:
    """Return whether a time is at or after the end of the clip."""
    if seconds is None or clip.end_seconds is None:
        return False
    return seconds >= clip.end_seconds - CUT_TOLERANCE_SECONDS


def container_of(stream: "VideoStream") -> "InputContainer":
    """Return the opened file of a stream."""
    return cast("InputContainer", stream.container)


def time_base(stream: "VideoStream") -> "Fraction":
    """Return the unit of the timestamps of a stream, in seconds."""
    assert stream.time_base is not None, "an opened stream has a clock"
    return stream.time_base


def pixel_aspect(stream: "VideoStream") -> float:
    """Return the sample aspect ratio (width / height of a stored pixel), or 1 if none is declared."""
    # FFmpeg prefers the ratio of the container to the ratio of the codec.
    return float(stream.sample_aspect_ratio or 1)


def reason(error: Exception) -> str:
    """Return the reason of an FFmpeg error, without error numbers and paths."""
    return str(getattr(error, "strerror", None) or error)


def _seek(stream: "VideoStream", clip: "Clip") -> None:
    """Seek to a key frame from which every frame of the clip can be decoded."""
    _seek_before(stream, clip, SEEK_MARGIN_SECONDS)
    if not refreshes_gradually(stream):
        return
    landed = next(container_of(stream).demux(stream))
    whole_at_once = is_random_access_point(landed, stream)
    # The packet is consumed now, so seek again.
    _seek_before(stream, clip, SEEK_MARGIN_SECONDS if whole_at_once else REFRESH_SECONDS)


def _seek_before(stream: "VideoStream", clip: "Clip", margin: float) -> None:
    seconds = max(0.0, (clip.start_seconds or 0.0) - margin)
    # A stream may start later than 0, and seeks count from 0.
    ticks = int(seconds / time_base(stream)) + (stream.start_time or 0)
    container_of(stream).seek(ticks, stream=stream)


def _video_stream(container: "InputContainer", clip: "Clip") -> "VideoStream":
    from av.video.stream import VideoStream

    stream = container.streams.best("video")
    if not isinstance(stream, VideoStream):
        raise DataError(f"{clip.path} must hold a video stream, but has none.")
    context = stream.codec_context
    # The format is known to FFmpeg, but no decoder for the codec was built in.
    if context is None:
        raise DataError(f"{clip.path} holds a video stream that this FFmpeg cannot decode.")
    refuse_absurd_size(
        clip.path, height=context.height, width=context.width, pixel_aspect=pixel_aspect(stream)
    )
    # Clips are decoded in parallel by worker processes, so one thread per clip is enough.
    context.thread_count = 1
    # The size may also change in mid-stream.
    context.options = {"max_pixels": str(MAX_PIXELS)}
    return stream
