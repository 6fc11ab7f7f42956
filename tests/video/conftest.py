import os
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
import pytest
from PIL import Image

WriteVideo = Callable[..., Path]
DECODERS = ("libdav1d", "vp9")
MILLISECOND = Fraction(1, 1000)


def gray_frames(num_frames: int, *, height: int = 32, width: int = 48) -> Iterator[np.ndarray]:
    """Frame i is gray, 5 brighter than frame i - 1, so that a decoded frame tells its own index."""
    for index in range(num_frames):
        yield np.full((height, width, 3), min(20 + 5 * index, 250), np.uint8)


@contextmanager
def open_to_write(path: Path) -> Iterator[av.container.OutputContainer]:
    """Open a video to write, and leave the process with the scheduling policy that it had."""
    policy, priority = os.sched_getscheduler(0), os.sched_getparam(0)
    with av.open(str(path), "w") as container:
        yield container
    # SVT-AV1 makes a process of root a real-time one, which starves the processes beside it.
    os.sched_setscheduler(0, policy, priority)


def copy_packets(
    source: Path, path: Path, *, begin: int = 0, shift: bool = False, options: dict[str, str] | None = None
) -> Path:
    """Copy the packets of a video from number ``begin`` on, without decoding: what ``ffmpeg -c copy`` does.

    With ``shift`` the first packet is shown at 0 s, so that pictures shown before it have negative times.
    """
    with av.open(str(source)) as whole, av.open(str(path), "w", options=options or {}) as part:
        template = whole.streams.video[0]
        # Of a codec without an encoder (AV1's is another library) the decoder's settings are copied.
        stream = part.add_stream_from_template(template, opaque=template.codec_context.name in DECODERS)
        packets = [packet for packet in whole.demux(video=0) if packet.size][begin:]
        zero = (packets[0].pts or 0) if shift else 0
        for packet in packets:
            if packet.pts is not None and packet.dts is not None:
                packet.pts, packet.dts = packet.pts - zero, packet.dts - zero
            packet.stream = stream
            part.mux(packet)
    return path


def packet_place(path: Path, packet: int) -> tuple[int, int]:
    """Return where a packet lies in its file, and its size."""
    with av.open(str(path)) as container:
        return [(p.pos or 0, p.size) for p in container.demux(video=0) if p.size][packet]


def damage(path: Path, packet: int) -> Path:
    """Overwrite one packet's picture with ones, its length kept."""
    begin, size = packet_place(path, packet)
    content = bytearray(path.read_bytes())
    content[begin + 8 : begin + size] = b"\xff" * (size - 8)
    path.write_bytes(content)
    return path


@pytest.fixture
def indices_of() -> Callable[[np.ndarray], list[int]]:
    """Tells which of :func:`gray_frames` a clip's frames are."""
    return lambda frames: [round((float(frame.mean()) - 20) / 5) for frame in frames]


@pytest.fixture
def write_video(tmp_path: Path) -> WriteVideo:
    """Writes a small video; options are those of the container (movflags) and the codec (g, bf).

    With ``times_ms`` its frames are shown at those milliseconds, else ``fps`` of them a second. ``frames`` of
    32 x 48 pixels take the place of gray ones.
    """

    def write(
        name: str = "clip.mp4",
        *,
        num_frames: int = 30,
        codec: str = "libx264",
        fps: int = 10,
        codec_options: dict[str, str] | None = None,
        options: dict[str, str] | None = None,
        times_ms: Sequence[int] | None = None,
        pix_fmt: str = "yuv420p",
        frames: Sequence[np.ndarray] | None = None,
    ) -> Path:
        path = tmp_path / name
        path.parent.mkdir(exist_ok=True, parents=True)
        with av.open(f"file:{path}", "w", options=options or {}) as container:
            stream = container.add_stream(codec, rate=fps, options=codec_options or {"g": "6", "bf": "2"})
            stream.width, stream.height, stream.pix_fmt = 48, 32, pix_fmt
            if times_ms is not None:
                stream.codec_context.time_base = MILLISECOND
            for index, array in enumerate(frames or gray_frames(len(times_ms or range(num_frames)))):
                frame = av.VideoFrame.from_ndarray(array)
                if times_ms is not None:
                    frame.pts, frame.time_base = times_ms[index], MILLISECOND
                container.mux(stream.encode(frame))
            container.mux(stream.encode())
        return path

    return write


@pytest.fixture
def picture_folder(tmp_path: Path) -> Path:
    folder = tmp_path / "pictures"
    folder.mkdir()
    for index, frame in enumerate(gray_frames(12)):
        Image.fromarray(frame).save(folder / f"images{index + 1}.png")
    return folder
