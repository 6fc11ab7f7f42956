"""Law: frames have square pixels, so that a disc stored in wide or narrow pixels is shown round."""

from fractions import Fraction
from pathlib import Path

import av
import numpy as np
import pytest

from fla_llm.core.errors import DataError
from fla_llm.video import Clip, decode_all, probe

HEIGHT = 64
SHOWN_WIDTH = 96


def write_disc(
    path: Path,
    *,
    aspect: Fraction | None,
    degrees: int = 0,
    codec: str = "libx264",
    width: int | None = None,
) -> Path:
    """Write a disc of radius 24, round when pixels are ``aspect`` times as wide as high."""
    width = width or round(SHOWN_WIDTH / (aspect or 1) / 2) * 2
    y, x = np.mgrid[:HEIGHT, :width] + 0.5
    inside = np.hypot(y - HEIGHT / 2, (x - width / 2) * float(aspect or 1)) < 24
    picture = np.repeat(np.where(inside, 255, 0).astype(np.uint8)[..., None], 3, axis=-1)
    with av.open(str(path), "w") as container:
        stream = container.add_stream(codec, rate=10)
        stream.width, stream.height = width, HEIGHT
        stream.pix_fmt = "yuv422p10le" if codec == "prores_ks" else "yuv420p"
        if degrees:
            stream.set_display_rotation(degrees)
        if aspect is not None:
            stream.codec_context.sample_aspect_ratio = aspect
        for _ in range(3):
            container.mux(stream.encode(av.VideoFrame.from_ndarray(picture)))
        container.mux(stream.encode())
    return path


def white_sides(frame: np.ndarray) -> tuple[int, int]:
    """Return the height and width of what is white."""
    rows, columns = np.nonzero(frame[..., 0] > 128)
    return np.ptp(rows) + 1, np.ptp(columns) + 1


@pytest.mark.parametrize("aspect", [Fraction(64, 45), Fraction(8, 9), Fraction(2), None])
@pytest.mark.parametrize("degrees", [0, 90, 180])
@pytest.mark.parametrize("name", ["a.mp4", "a.mkv"])
def test_disc_is_round_however_pixels_are_stored(
    tmp_path: Path, aspect: Fraction | None, degrees: int, name: str
) -> None:
    clip = Clip(path=write_disc(tmp_path / name, aspect=aspect, degrees=degrees))
    info = probe(clip)
    shown = (info.width, info.height) if degrees == 90 else (info.height, info.width)
    assert abs(shown[0] - HEIGHT) <= 2
    assert abs(shown[1] - SHOWN_WIDTH) <= 2
    height, width = white_sides(decode_all(clip, size=HEIGHT)[0])
    assert abs(height - 48) <= 2
    assert abs(width - 48) <= 2


@pytest.mark.parametrize(
    ("name", "codec"),
    [("a.mp4", "ffv1"), ("a.mov", "prores_ks"), ("a.mpg", "mpeg2video"), ("a.mp4", "libx264")],
)
def test_aspect_of_the_container_or_the_codec_is_honoured(tmp_path: Path, name: str, codec: str) -> None:
    """Of FFV1 and ProRes only the container says it, of MPEG-2 in a program stream only the codec."""
    clip = Clip(path=write_disc(tmp_path / name, aspect=Fraction(16, 9), codec=codec, width=64))
    assert abs(probe(clip).width - 114) <= 1
    height, width = white_sides(decode_all(clip, size=HEIGHT)[0])
    assert abs(height - width) <= 2


def test_stretching_keeps_the_whole_picture(tmp_path: Path) -> None:
    clip = Clip(path=write_disc(tmp_path / "a.mp4", aspect=Fraction(2)))
    height, width = white_sides(decode_all(clip, size=64, fit="stretch")[0])
    assert abs(height - 48) <= 2
    assert abs(width - 32) <= 2  # 48 of 96 shown pixels


def test_absurd_aspect_is_refused_before_it_is_scaled(tmp_path: Path) -> None:
    path = write_disc(tmp_path / "a.mp4", aspect=Fraction(30), width=64)
    for read in (probe, lambda clip: decode_all(clip, size=224)):
        with pytest.raises(DataError, match="a.mp4 must show pictures whose sides differ at most 20 times"):
            read(Clip(path=path))


def test_size_that_turns_absurd_in_mid_stream_is_refused(tmp_path: Path) -> None:
    content = b""
    for number, (height, width) in enumerate([(64, 64), (16, 640)]):
        path = tmp_path / f"{number}.h264"
        with av.open(str(path), "w") as container:
            stream = container.add_stream("libx264", rate=10)
            stream.width, stream.height, stream.pix_fmt = width, height, "yuv420p"
            container.mux(stream.encode(av.VideoFrame.from_ndarray(np.zeros((height, width, 3), np.uint8))))
            container.mux(stream.encode())
        content += path.read_bytes()
    (tmp_path / "both.h264").write_bytes(content)
    with pytest.raises(DataError, match="sides differ at most 20 times, but declares 640 x 16 pixels"):
        decode_all(Clip(path=tmp_path / "both.h264"), size=16)
