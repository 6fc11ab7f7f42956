"""Law: a picture gives the same frame whatever depth it is stored in, or is refused."""

from pathlib import Path

import av
import numpy as np
import pytest
from PIL import Image

from fla_llm.core.errors import DataError
from fla_llm.video import Clip, decode_all, probe

GREY = np.linspace(0, 255, 24 * 24).round().astype(np.uint8).reshape(24, 24)
COLOURS = np.stack([GREY, GREY.T, 255 - GREY], axis=-1)


def frame_of(path: Path) -> np.ndarray:
    return decode_all(Clip(path=path), size=24)[0].astype(int)


def write_deep(path: Path, pixels: np.ndarray, *, codec: str, pix_fmt: str) -> None:
    with av.open(str(path), "w", format="image2" if codec == "png" else None) as container:
        stream = container.add_stream(codec, rate=1)
        stream.width, stream.height, stream.pix_fmt = 24, 24, pix_fmt
        container.mux(stream.encode(av.VideoFrame.from_ndarray(pixels, format=pix_fmt)))
        container.mux(stream.encode())


@pytest.mark.parametrize("orientation", [1, 6])
def test_grey_of_16_bits_is_grey_of_8(tmp_path: Path, orientation: int) -> None:
    exif = Image.Exif()
    exif[0x0112] = orientation
    for name, pixels in (("8", GREY), ("16", GREY.astype(np.uint16) * 257)):
        (tmp_path / name).mkdir()
        Image.fromarray(pixels).save(tmp_path / name / "1.png", exif=exif)
    assert np.abs(frame_of(tmp_path / "16") - frame_of(tmp_path / "8")).max() <= 1


@pytest.mark.parametrize("pix_fmt", ["rgb48be", "rgba64be"])
def test_colours_of_16_bits_are_colours_of_8(tmp_path: Path, pix_fmt: str) -> None:
    pixels = COLOURS.astype(np.uint16) * 257
    if pix_fmt == "rgba64be":
        pixels = np.concatenate([pixels, np.full_like(pixels[..., :1], 65535)], axis=-1)
    write_deep(tmp_path / "1.png", pixels, codec="png", pix_fmt=pix_fmt)
    assert np.abs(frame_of(tmp_path) - COLOURS).max() <= 1


@pytest.mark.parametrize(
    ("pix_fmt", "pixels"),
    [("gray16le", GREY.astype(np.uint16) * 257), ("rgb48le", COLOURS.astype(np.uint16) * 257)],
)
def test_video_of_16_bits_is_that_of_8(tmp_path: Path, pix_fmt: str, pixels: np.ndarray) -> None:
    write_deep(tmp_path / "a.mkv", pixels, codec="ffv1", pix_fmt=pix_fmt)
    expected = COLOURS if pixels.ndim == 3 else np.stack([GREY] * 3, axis=-1)
    assert np.abs(frame_of(tmp_path / "a.mkv") - expected).max() <= 1


@pytest.mark.parametrize("mode", ["1", "L", "LA", "P", "RGBA", "CMYK"])
def test_every_8_bit_kind_gives_its_colours(tmp_path: Path, mode: str) -> None:
    """Black stays black and white white; what is transparent counts by its stored colour."""
    picture = Image.fromarray(np.repeat(np.uint8([0, 255]), 12)[:, None].repeat(24, axis=1)).convert(mode)
    if mode in ("LA", "RGBA"):
        picture.putalpha(0)
    suffix = "jpg" if mode == "CMYK" else "png"
    picture.save(tmp_path / f"1.{suffix}")
    frame = frame_of(tmp_path)
    assert frame[:8].max() <= 2
    assert frame[16:].min() >= 253


@pytest.mark.parametrize("dtype", [np.float32, np.int32, np.uint16])
def test_values_of_unknown_range_are_refused_before_any_frame_is_read(tmp_path: Path, dtype: type) -> None:
    """A TIFF named .png: its floats may mean 0..1 or 0..255, its 16 bits may hold a camera's 12."""
    Image.fromarray(GREY.astype(dtype)).save(tmp_path / "1.png", format="TIFF")
    with pytest.raises(DataError, match=r"1.png must hold 8 bits a colour, or be a PNG of 16, but is TIFF"):
        probe(Clip(path=tmp_path))
    with pytest.raises(DataError, match="Write it as 8-bit or 16-bit PNG"):
        decode_all(Clip(path=tmp_path), size=8)
