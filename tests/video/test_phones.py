"""Videos as phones, and people, make them."""

from pathlib import Path

import av
import numpy as np
import pytest

from fla_llm.core.errors import DataError
from fla_llm.video import Clip, count_frames, decode_all, probe

CORNERS = np.zeros((64, 64, 3), np.uint8)
CORNERS[:32, :32], CORNERS[:32, 32:], CORNERS[32:, :32] = 240, 160, 80


def write_turned(path: Path, *, degrees: int, hflip: bool = False, vflip: bool = False) -> Path:
    with av.open(str(path), "w") as container:
        stream = container.add_stream("libx264", rate=10)
        stream.width, stream.height, stream.pix_fmt = 96, 64, "yuv420p"
        stream.set_display_rotation(degrees, hflip, vflip)
        picture = np.repeat(CORNERS, [2, 1] * 32, axis=1)  # 64 x 96
        container.mux(stream.encode(av.VideoFrame.from_ndarray(picture)))
        container.mux(stream.encode())
    return path


@pytest.mark.parametrize("name", ["a.mp4", "a.mov", "a.mkv"])
@pytest.mark.parametrize("degrees", [0, 90, 180, 270])
def test_rotation_is_honoured(tmp_path: Path, name: str, degrees: int) -> None:
    clip = Clip(path=write_turned(tmp_path / name, degrees=degrees))
    info = probe(clip)
    assert (info.height, info.width) == ((96, 64) if degrees in (90, 270) else (64, 96))
    shown = decode_all(clip, size=64, fit="stretch")[0]
    np.testing.assert_allclose(shown, np.rot90(CORNERS, degrees // 90), atol=60)  # blurred at the borders
    assert np.abs(shown[8::48, 8::48].astype(int) - np.rot90(CORNERS, degrees // 90)[8::48, 8::48]).max() < 9


@pytest.mark.parametrize("degrees", [0, 90, 180, 270])
@pytest.mark.parametrize(("hflip", "vflip"), [(True, False), (False, True), (True, True)])
def test_mirrored_video_is_shown_as_meant(tmp_path: Path, degrees: int, hflip: bool, vflip: bool) -> None:
    """A signer's right hand must not become the left, nor the picture be turned round for it."""
    clip = Clip(path=write_turned(tmp_path / "a.mp4", degrees=degrees, hflip=hflip, vflip=vflip))
    expected = np.rot90(CORNERS, degrees // 90)[:: -1 if vflip else 1, :: -1 if hflip else 1]
    shown = decode_all(clip, size=64, fit="stretch")[0]
    assert np.abs(shown[8::48, 8::48].astype(int) - expected[8::48, 8::48]).max() < 9


def test_ten_bits_are_read_as_eight(write_video, indices_of) -> None:
    """H.264; of 10-bit HEVC, which not every PyAV can write at this size, there is a real file."""
    path = write_video(num_frames=6, codec_options={"bf": "0"}, pix_fmt="yuv420p10le")
    assert indices_of(decode_all(Clip(path=path), size=8)) == list(range(6))


@pytest.mark.parametrize("default", [0, 1])
def test_of_two_streams_the_default_one_is_read(tmp_path: Path, default: int) -> None:
    widths = 96, 48
    with av.open(str(tmp_path / "two.mkv"), "w") as container:
        streams = [container.add_stream("mpeg4", rate=10) for _ in widths]
        for place, (stream, width) in enumerate(zip(streams, widths, strict=True)):
            stream.width, stream.height, stream.pix_fmt = width, 64, "yuv420p"
            stream.disposition = int(place == default)
        for stream in streams:
            for _ in range(3 + streams.index(stream)):
                container.mux(stream.encode(av.VideoFrame(stream.width, 64, "yuv420p")))
            container.mux(stream.encode())
    info = probe(Clip(path=tmp_path / "two.mkv"))
    assert (info.num_frames, info.width) == (3 + default, widths[default])


@pytest.mark.parametrize(
    "name", [" a b .mp4", "a:b:c.mp4", "%d%s.mp4", "-i.mp4", "file:x.mp4", "[a],b;'c'.mp4"]
)
def test_odd_names_are_just_names(write_video, name: str) -> None:
    assert count_frames(Clip(path=write_video(name, num_frames=3))) == 3


def test_number_pattern_is_not_taken_for_a_series(write_video, tmp_path: Path) -> None:
    write_video("001.mp4", num_frames=3)
    with pytest.raises(DataError, match="%03d.mp4 must be a video file .* does not exist"):
        count_frames(Clip(path=tmp_path / "%03d.mp4"))


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("a.mp4", "must hold frames, but has none"),
        ("a.avi", "must hold frames, but has none"),
        ("a.mkv", "cannot be read as a video .*: End of file"),
    ],
)
def test_video_of_no_frames_is_refused(tmp_path: Path, name: str, message: str) -> None:
    """A recording stopped at once; MP4's muxer keeps the stream only where the header comes first."""
    options = {"movflags": "empty_moov"} if name == "a.mp4" else {}
    with av.open(str(tmp_path / name), "w", options=options) as container:
        stream = container.add_stream("mpeg4", rate=10)
        stream.width, stream.height, stream.pix_fmt = 48, 32, "yuv420p"
        container.start_encoding()
    with pytest.raises(DataError, match=f"{name} {message}"):
        probe(Clip(path=tmp_path / name))
