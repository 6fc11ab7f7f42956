"""Write a small copy of a clip: H.264 in MP4, upright, with the times of its frames.

H.264 and not pictures: a JPEG of each frame takes eight times the bytes at equal quality (docs/shrink.md has
the measurement).
"""

from collections.abc import Iterator
from dataclasses import dataclass
from fractions import Fraction
from itertools import chain
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from ..core.errors import DataError
from .clip import Clip
from .container import DamagedVideoError, open_video, pixel_aspect, reason, time_base
from .copy_settings import CODEC, CopySettings
from .decoding import decode_stream
from .folder import list_pictures, upright_picture
from .geometry import Orientation, fitted_size, orientation
from .probing import count_frames

if TYPE_CHECKING:
    from av.container import OutputContainer
    from av.packet import Packet
    from av.video.frame import VideoFrame
    from av.video.plane import VideoPlane
    from av.video.stream import VideoStream

PIXELS = "yuv420p"
"""Pixel format of copies, the one that every player decodes."""


@dataclass(frozen=True)
class _Picture:
    """A frame of the copy."""

    frame: "VideoFrame"
    """Upright, in ``PIXELS``, with even sides and square pixels."""
    ticks: int
    """Time since the first frame, in units of the clip's clock."""
    length: int
    """Duration in these units, or 0 if unknown."""


def write_copy(clip: Clip, path: Path, *, settings: CopySettings) -> int:
    """Write a small copy of a clip, which may be a cut or a folder of pictures. Time 0 is its first frame.

    One thread encodes, so that equal clips and settings give equal bytes.

    Args:
        clip: the clip. A clip without times needs ``fps``.
        path: file to write.
        settings: size and compression.

    Returns:
        The number of frames.

    Raises:
        DataError: the clip cannot be decoded to its end, has no times and no rate, changes its size, or its
            times do not increase.
        OSError: the disk is full or fails.
    """
    expected = count_frames(clip)
    write = _write_folder if clip.path.is_dir() else _write_video
    written = write(clip, path, settings)
    copied = count_frames(Clip(path=path))
    if not expected == written == copied:
        raise DamagedVideoError(
            f"{clip.path} must give {expected} frames, as many as it has packets, but gives {written}, of "
            f"which {copied} are in the copy."
        )
    return written


def _write_folder(clip: Clip, path: Path, settings: CopySettings) -> int:
    pictures = _from_folder(clip, settings)
    return _encode(pictures, path, clip, clock=_clock_of_rate(clip), settings=settings)


def _from_folder(clip: Clip, settings: CopySettings) -> Iterator[_Picture]:
    """Yield the pictures of a folder at the size of the copy, all at the size of the first."""
    from av.video.frame import VideoFrame
    from av.video.reformatter import Interpolation
    from PIL.Image import Resampling

    first = None
    for index, file in enumerate(list_pictures(clip.path)):
        image = upright_picture(file)
        first = first or image.size
        if image.size != first:
            raise _other_size(clip, index, image.size, first)
        height, width = _copy_size(image.height, image.width, settings.size)
        pixels = _even(np.asarray(image.resize((width, height), Resampling.BILINEAR)))
        # Without exact rounding FFmpeg makes every picture two levels darker.
        frame = VideoFrame.from_ndarray(pixels, format="rgb24").reformat(
            format=PIXELS, interpolation=Interpolation.BILINEAR | Interpolation.ACCURATE_RND, threads=1
        )
        yield _Picture(frame, index, 1)


def _write_video(clip: Clip, path: Path, settings: CopySettings) -> int:
    with open_video(clip) as stream:
        frames = decode_stream(stream, clip)
        first = next(frames, None)
        if first is None:
            raise DataError(f"{clip.path} must hold frames, but none can be decoded.")
        # Frames of a bare stream have no times: the rate of the clip spaces them.
        clock = _clock_of_rate(clip) if first.pts is None else time_base(stream)
        pictures = _from_video(first, chain([first], frames), stream, clip, settings)
        return _encode(pictures, path, clip, clock=clock, settings=settings)


def _from_video(
    first: "VideoFrame",
    frames: Iterator["VideoFrame"],
    stream: "VideoStream",
    clip: Clip,
    settings: CopySettings,
) -> Iterator[_Picture]:
    """Yield the frames of a video upright, at the size of the copy."""
    from av.video.reformatter import Interpolation, VideoReformatter

    scaler, shown_width = VideoReformatter(), first.width * pixel_aspect(stream)
    height, width = _copy_size(first.height, shown_width, settings.size)
    for index, frame in enumerate(frames):
        if (frame.width, frame.height) != (first.width, first.height):
            raise _other_size(clip, index, (frame.width, frame.height), (first.width, first.height))
        # Never by way of RGB: the rounding of two conversions would add up to a darker picture.
        scaled = scaler.reformat(
            frame,
            width=width,
            height=height,
            format=PIXELS,
            interpolation=Interpolation.AREA | Interpolation.ACCURATE_RND,
            threads=1,
        )
        ticks, length = index, 1
        if first.pts is not None:
            if frame.pts is None:
                raise DataError(f"{clip.path} must give each frame a time, but frame {index} has none.")
            ticks, length = frame.pts - first.pts, frame.duration or 0
        yield _Picture(_turned(scaled, orientation(frame)), ticks, length)


def _turned(frame: "VideoFrame", turn: Orientation) -> "VideoFrame":
    """Return a frame in ``PIXELS`` as shown, without a display matrix."""
    from av.video.frame import VideoFrame

    # Brightness, then two colours at half the size.
    planes = [_pixels(plane) for plane in frame.planes]
    height, width = (side // 2 * 2 for side in planes[0].shape)
    sizes = [(height, width), *[(height // 2, width // 2)] * 2]
    upright = [turn.set_upright(plane[:h, :w]) for plane, (h, w) in zip(planes, sizes, strict=True)]
    packed = np.concatenate([plane.reshape(-1) for plane in upright])
    shown = VideoFrame.from_ndarray(packed.reshape(-1, upright[0].shape[1]), format=PIXELS)
    shown.colorspace, shown.color_range = frame.colorspace, frame.color_range
    return shown


def _pixels(plane: "VideoPlane") -> np.ndarray:
    """Return the pixels of a plane (H, W), uint8."""
    rows = np.frombuffer(bytes(plane), np.uint8).reshape(plane.height, plane.line_size)
    return rows[:, : plane.width]  # FFmpeg pads rows


def _encode(
    pictures: Iterator[_Picture], path: Path, clip: Clip, *, clock: Fraction, settings: CopySettings
) -> int:
    """Encode pictures into an MP4 file, and return their number."""
    import av
    from av.error import FFmpegError

    count, last, lengths = 0, -1, dict[int, int]()
    try:
        with av.open(f"file:{path.absolute()}", "w", format="mp4") as container:
            # The rate guides the number of bits alone: each frame brings its own time.
            rate = Fraction(clip.fps or 25).limit_denominator(1000)
            stream = container.add_stream(CODEC, rate=rate, options=settings.options)
            stream.codec_context.thread_count = 1
            for picture in pictures:
                _refuse_step_back(clip, count, last, picture.ticks, clock)
                if count == 0:
                    _declare(stream, picture, clock)
                last = picture.ticks
                picture.frame.pts, picture.frame.time_base = picture.ticks, clock
                lengths[picture.ticks] = picture.length
                _mux(container, stream.encode(picture.frame), lengths)
                count += 1
            _mux(container, stream.encode(), lengths)
    except FFmpegError as error:
        # A full disk is no fault of the clip: the next clip would fail too.
        if isinstance(error, OSError):
            raise OSError(error.errno, error.strerror, str(path)) from error
        raise DataError(f"{clip.path} cannot be copied to {path}: {reason(error)}.") from error
    return count


def _mux(container: "OutputContainer", packets: list["Packet[VideoStream]"], lengths: dict[int, int]) -> None:
    """Write packets, each with the duration of its frame."""
    for packet in packets:
        assert packet.pts is not None, "each frame has a time"
        # The encoder gives each packet the duration of the rate, which is wrong for the last frame.
        packet.duration = lengths.pop(packet.pts) or packet.duration
        container.mux(packet)


def _declare(stream: "VideoStream", picture: _Picture, clock: Fraction) -> None:
    """Set size, clock and colours of a copy by its first picture."""
    frame, context = picture.frame, stream.codec_context
    stream.width, stream.height, stream.pix_fmt = frame.width, frame.height, PIXELS
    stream.time_base = context.time_base = clock
    context.colorspace, context.color_range = frame.colorspace, frame.color_range


def _copy_size(height: float, width: float, size: int) -> tuple[int, int]:
    """Return the height and width to which a picture is scaled."""
    fitted = fitted_size(height, width, size=min(size, round(min(height, width))), fit="crop")
    return max(2, fitted[0]), max(2, fitted[1])


def _even(pixels: np.ndarray) -> np.ndarray:
    """Return pixels (H, W, ...) with even sides, as one stored colour covers 2 x 2 pixels."""
    # Not scaled to even sides: a reader would have to scale back, which takes longer than decoding. Without
    # the last row or column a reader still finds the middle square at the same pixels.
    return pixels[: len(pixels) // 2 * 2, : pixels.shape[1] // 2 * 2]


def _clock_of_rate(clip: Clip) -> Fraction:
    """Return the time from one frame to the next, for frames without times.

    Raises:
        DataError: the clip has no frame rate.
    """
    if clip.fps is None:
        raise DataError(f"{clip.path} carries no times and must come with its frame rate, but has none.")
    return 1 / Fraction(clip.fps).limit_denominator(1000)


def _refuse_step_back(clip: Clip, index: int, last: int, ticks: int, clock: Fraction) -> None:
    if ticks <= last:
        raise DataError(
            f"{clip.path} must show each frame later than the one before, but shows frame {index} "
            f"{float(ticks * clock):.3f} s and the one before {float(last * clock):.3f} s after the first."
        )


def _other_size(clip: Clip, index: int, found: tuple[int, int], first: tuple[int, int]) -> DataError:
    return DataError(
        f"{clip.path} must hold pictures of one size, but picture {index} has {found[0]} x {found[1]} pixels "
        f"and the first {first[0]} x {first[1]}."
    )
