"""Small generated files, each with what makes one of the real files of shared/data/decode hard to read."""

from collections.abc import Callable
from fractions import Fraction
from pathlib import Path
from typing import Any

import av
import numpy as np
import pytest

from .conftest import damage, open_to_write

ABSURD_SIDE = 12336


def write(
    path: Path,
    *,
    codec: str = "libx264",
    num_frames: int = 30,
    height: int = 64,
    width: int = 96,
    degrees: int = 0,
    options: dict[str, str] | None = None,
    **settings: Any,
) -> Path:
    """Write a bar that moves over a grey picture; ``settings`` are those of the codec."""
    if codec not in av.codecs_available:
        pytest.skip(f"this PyAV has no encoder {codec}")
    with open_to_write(path) as container:
        stream = container.add_stream(codec, rate=10, options=options or {})
        stream.height, stream.width = height, width
        for name, value in ({"pix_fmt": "yuv420p"} | settings).items():
            setattr(stream.codec_context, name, value)
        if degrees:
            stream.set_display_rotation(degrees)
        for index in range(num_frames):
            picture = np.full((height, width, 3), 60, np.uint8)
            picture[8:24, index % (width - 16) :][:, :16] = 230
            container.mux(stream.encode(av.VideoFrame.from_ndarray(picture)))
        container.mux(stream.encode())
    return path


def write_with_sound(path: Path, *, codec: str) -> Path:
    """Write three seconds of pictures beside four of sound."""
    pictures = write(path.with_name(f"pictures-{path.name}"), codec=codec)
    with av.open(str(pictures)) as source, av.open(str(path), "w") as container:
        template = source.streams.video[0]
        video = container.add_stream_from_template(template, opaque=codec == "libvpx-vp9")
        sound = container.add_stream("libopus", rate=48000)
        for packet in source.demux(template):
            if packet.size:
                packet.stream = video
                container.mux(packet)
        for index in range(200):
            silence = av.AudioFrame.from_ndarray(np.zeros((1, 2 * 960), np.int16), layout="stereo")
            silence.sample_rate, silence.pts = 48000, 960 * index
            container.mux(sound.encode(silence))
        container.mux(sound.encode())
    return path


def write_two_streams(path: Path) -> Path:
    """Write two video streams of different sizes, the second one marked as default."""
    with av.open(str(path), "w") as container:
        streams = [container.add_stream("libx264", rate=10) for _ in range(2)]
        for place, stream in enumerate(streams):
            stream.height, stream.width, stream.pix_fmt = 64 + 32 * place, 96, "yuv420p"
            stream.disposition = place
        for place, stream in enumerate(streams):
            for _ in range(20 + 10 * place):
                container.mux(stream.encode(av.VideoFrame(96, stream.height, "yuv420p")))
            container.mux(stream.encode())
    return path


def write_unordered(path: Path) -> Path:
    """Write a MOV whose header comes last, and in it the parts of the track from last to first."""
    content = write(path).read_bytes()
    begin = content.index(b"trak") - 4
    size = int.from_bytes(content[begin : begin + 4], "big")
    parts, rest = [], content[begin + 8 : begin + size]
    while rest:
        length = int.from_bytes(rest[:4], "big")
        parts.append(rest[:length])
        rest = rest[length:]
    assert parts[0][4:8] == b"tkhd"
    path.write_bytes(content[: begin + 8] + b"".join(reversed(parts)) + content[begin + size :])
    return path


def write_corrupted(path: Path) -> Path:
    """Write a video whose 13th picture cannot be decoded."""
    return damage(write(path, options={"bf": "0"}), 12)


def write_absurd(path: Path) -> Path:
    """Write a VP9 video whose first picture declares an absurd size (VP9 specification, section 6.2)."""
    write(path, codec="libvpx-vp9")
    with av.open(str(path)) as container:
        first = bytes(next(container.demux(video=0)))
    header = int.from_bytes(first[:12], "big")
    for shift in (96 - 36 - 16, 96 - 36 - 32):  # width - 1 and height - 1 follow the first 36 bits
        header = header & ~(0xFFFF << shift) | (ABSURD_SIDE - 1) << shift
    path.write_bytes(path.read_bytes().replace(first[:12], header.to_bytes(12, "big"), 1))
    return path


STAND_INS: dict[str, Callable[[Path], Path]] = {
    "av1_video.mkv": lambda path: write(path, codec="libsvtav1", options={"preset": "12"}),
    "bbb_480p_vp9_opus_1second.webm": lambda path: write_with_sound(path, codec="libvpx-vp9"),
    "carphone_pristine.mp4": lambda path: write(path, sample_aspect_ratio=Fraction(128, 117)),
    "flipping_a_pancake.mkv": lambda path: write_with_sound(path, codec="libx264"),
    "h264_10bits.mp4": lambda path: write(path, pix_fmt="yuv420p10le"),
    "h265_10bits.mp4": lambda path: write(path, codec="libx265", pix_fmt="yuv420p10le"),
    "nasa_13013.mp4": write_two_streams,
    "unordered.mov": write_unordered,
    "video_90.mov": lambda path: write(path, degrees=90),
    "video_180.mov": lambda path: write(path, degrees=180),
    "corrupted.mp4": write_corrupted,
    "invalid_vp9_bitstream-bug_1416.webm": write_absurd,
}
"""By the name of the real file: what writes a file of its kind."""
