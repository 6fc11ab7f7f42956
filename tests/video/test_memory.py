"""Memory follows the frames kept, not the length of the file nor what a header declares."""

import struct
from collections.abc import Callable
from fractions import Fraction
from functools import partial
from pathlib import Path
from typing import Any

import av
import numpy as np
import pytest
from little_memory import peak_growth

from fla_llm.core.errors import DataError
from fla_llm.video import Clip, FrameSampling, count_frames, probe, read_frames
from fla_llm.video.motion import measure_motion

MIB = 2**20
LONG, SHORT = 8000, 400


@pytest.fixture(scope="module")
def write_long(tmp_path_factory: pytest.TempPathFactory) -> Callable[[int], Clip]:
    """Writes a clip of many tiny frames, all alike, 30 a second."""

    def write(num_frames: int) -> Clip:
        path = tmp_path_factory.mktemp("long") / f"{num_frames}.mp4"
        frame = av.VideoFrame.from_ndarray(np.full((16, 16, 3), 99, np.uint8)).reformat(format="yuv420p")
        frame.time_base = Fraction(1, 30)
        with av.open(str(path), "w") as container:
            stream = container.add_stream("mpeg4", rate=30)
            stream.width, stream.height, stream.pix_fmt = 16, 16, "yuv420p"
            for index in range(num_frames):
                frame.pts = index
                container.mux(stream.encode(frame))
            container.mux(stream.encode())
        return Clip(path=path)

    return write


@pytest.fixture(scope="module")
def clips(write_long: Callable[[int], Clip]) -> tuple[Clip, Clip]:
    return write_long(SHORT), write_long(LONG)


WORKS: dict[str, Callable[[Clip], Any]] = {
    "count": count_frames,
    "motion": measure_motion,
    "read": partial(read_frames, sampling=FrameSampling(fps=7, max_frames=50), size=64),
}


@pytest.mark.parametrize("name", WORKS)
def test_long_video_takes_the_memory_of_a_short_one(clips: tuple[Clip, Clip], name: str) -> None:
    """All its frames as squares of 64 pixels would be 94 MiB."""
    work = WORKS[name]
    work(clips[0])  # what is loaded once is not counted
    short, long = (peak_growth(partial(work, clip)) for clip in clips)
    assert long - short < 5 * MIB


def test_the_measure_sees_what_is_kept(clips: tuple[Clip, Clip]) -> None:
    sampling = FrameSampling(stride=1, max_frames=SHORT)
    read = partial(read_frames, clips[0], sampling=sampling, size=128)
    assert peak_growth(read) > SHORT * 128 * 128 * 3


@pytest.mark.parametrize(("name", "codec"), [("a.mkv", "ffv1"), ("a.avi", "ffv1"), ("a.avi", "rawvideo")])
def test_absurd_size_is_refused_before_it_is_allocated(tmp_path: Path, name: str, codec: str) -> None:
    """12,000 x 12,000 pixels, which FFmpeg would take: a picture of 206 MiB."""
    with av.open(str(tmp_path / name), "w") as container:
        stream = container.add_stream(codec, rate=10)
        stream.width, stream.height, stream.pix_fmt = 256, 256, "yuv420p"
        for _ in range(2):
            container.mux(stream.encode(av.VideoFrame(256, 256, "yuv420p")))
        container.mux(stream.encode())
    _declare(tmp_path / name, 12_000)
    refused = partial(_refused, Clip(path=tmp_path / name))
    refused()
    # A fork of a process with much in it grows by some 14 MiB on its own, by what it merely touches.
    assert peak_growth(refused) < 206 * MIB / 4


def _declare(path: Path, side: int) -> None:
    """Put another size into the header of a file of 256 x 256 pixels."""
    content = path.read_bytes()
    for element in (b"\xb0\x82", b"\xba\x82"):  # Matroska: PixelWidth, PixelHeight, of two bytes
        content = content.replace(element + struct.pack(">H", 256), element + struct.pack(">H", side))
    content = content.replace(struct.pack("<II", 256, 256), struct.pack("<II", side, side))  # AVI
    path.write_bytes(content)


def _refused(clip: Clip) -> None:
    with pytest.raises(DataError, match="at most 67108864 pixels, but declares 12000 x 12000"):
        probe(clip)
