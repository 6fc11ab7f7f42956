"""Laws of small copies: the frames of a copy are those of the clip, at their times, as shown."""

import errno
import os
from fractions import Fraction
from pathlib import Path
from typing import Any

import av
import numpy as np
import pytest
from PIL import Image

from fla_llm.core.errors import ConfigError, DataError
from fla_llm.video import Clip, FrameSampling, count_frames, decode_all, probe, read_frames, read_timeline
from fla_llm.video.copy_settings import CopySettings
from fla_llm.video.geometry import fitted_size
from fla_llm.video.small_copy import write_copy

from .conftest import damage
from .stand_ins import write as write_bar
from .test_phones import CORNERS, write_turned
from .test_pixel_aspect import HEIGHT, white_sides, write_disc
from .test_times import UNEVEN_MS

SETTINGS = CopySettings()


def sides(frame: av.VideoFrame) -> Any:
    return frame.side_data


def copied(clip: Clip, path: Path, settings: CopySettings = SETTINGS) -> Clip:
    assert write_copy(clip, path, settings=settings) == count_frames(clip)
    return Clip(path=path)


def levels_apart(clip: Clip, copy: Clip, *, size: int) -> float:
    """Return the mean difference of two clips in levels of 255."""
    one, other = (decode_all(each, size=size).astype(float) for each in (clip, copy))
    return float(np.abs(one - other).mean())


@pytest.mark.parametrize("pix_fmt", ["yuv420p", "yuvj420p", "yuv444p"])
def test_a_copy_shows_the_frames_of_the_clip(write_video, indices_of, tmp_path: Path, pix_fmt: str) -> None:
    clip = Clip(path=write_video(num_frames=20, pix_fmt=pix_fmt))
    copy = copied(clip, tmp_path / "copy.mp4")
    assert indices_of(decode_all(copy, size=8)) == list(range(20))
    assert levels_apart(clip, copy, size=8) < 2


def test_a_large_picture_becomes_small_and_the_middle_stays(tmp_path: Path) -> None:
    clip = Clip(path=write_bar(tmp_path / "bar.mp4", height=240, width=426, num_frames=8))
    copy = copied(clip, tmp_path / "copy.mp4", CopySettings(size=64))
    assert (probe(copy).height, abs(probe(copy).width - 114) <= 1) == (64, True)
    assert levels_apart(clip, copy, size=56) < 3


def test_a_small_picture_keeps_its_size(write_video, picture_folder: Path, tmp_path: Path) -> None:
    for number, clip in enumerate([Clip(path=write_video()), Clip(path=picture_folder, fps=25)]):
        info = probe(copied(clip, tmp_path / f"{number}.mp4"))
        assert (info.height, info.width) == (32, 48)


@pytest.mark.parametrize("side", [31, 33])
def test_odd_sides_become_even(tmp_path: Path, side: int) -> None:
    folder = tmp_path / "odd"
    folder.mkdir()
    for number in range(2):
        Image.fromarray(np.full((side, 45, 3), 90, np.uint8)).save(folder / f"{number}.png")
    clip = Clip(path=folder, fps=25)
    assert levels_apart(clip, copied(clip, tmp_path / "copy.mp4"), size=16) < 3


@pytest.mark.parametrize("name", ["a.mp4", "a.mkv", "a.ts"])
@pytest.mark.parametrize("offset_ms", [0, 700])
def test_frames_keep_their_times(write_video, tmp_path: Path, name: str, offset_ms: int) -> None:
    times = [offset_ms + time for time in UNEVEN_MS]
    clip = Clip(path=write_video(name, codec_options={"bf": "0"}, times_ms=times))
    copy = copied(clip, tmp_path / "copy.mp4")
    source, kept = read_timeline(clip), read_timeline(copy)
    assert source.times is not None
    assert kept.times == pytest.approx([time - source.times[0] for time in source.times], abs=1e-6)
    for sampling in (FrameSampling(stride=3), FrameSampling(fps=5, stride=2)):
        one, other = (read_frames(each, sampling=sampling, phase=1, size=8) for each in (clip, copy))
        # The last frame of a file of uneven times has no length of its own.
        length = min(len(one), len(other))
        assert abs(len(one) - len(other)) <= (sampling.fps is not None)
        assert np.abs(one[:length].astype(float) - other[:length]).mean() < 3


def test_a_constant_rate_is_kept_to_the_last_frame(write_video, tmp_path: Path) -> None:
    clip = Clip(path=write_video(num_frames=20, fps=30))
    source, kept = read_timeline(clip), read_timeline(copied(clip, tmp_path / "copy.mp4"))
    assert kept.end_seconds == pytest.approx(source.end_seconds)
    assert probe(Clip(path=tmp_path / "copy.mp4")).fps == pytest.approx(30)


@pytest.mark.parametrize("start", [0.4, 1.25])
def test_a_cut_is_copied_alone(write_video, indices_of, tmp_path: Path, start: float) -> None:
    clip = Clip(path=write_video(num_frames=30), start_seconds=start, end_seconds=start + 0.75)
    copy = copied(clip, tmp_path / "copy.mp4")
    assert indices_of(decode_all(copy, size=8)) == indices_of(decode_all(clip, size=8))
    times = read_timeline(copy).times
    assert times is not None
    assert times[0] == 0


def test_pictures_and_bare_streams_get_the_times_of_their_rate(
    write_video, picture_folder: Path, indices_of, tmp_path: Path
) -> None:
    for number, path in enumerate([picture_folder, write_video("a.h264", codec_options={"bf": "0"})]):
        clip = Clip(path=path, fps=12.5)
        copy = copied(clip, tmp_path / f"{number}.mp4")
        assert read_timeline(copy).times == pytest.approx([n / 12.5 for n in range(count_frames(clip))])
        assert indices_of(decode_all(copy, size=8)) == list(range(count_frames(clip)))
    with pytest.raises(DataError, match="must come with its frame rate"):
        write_copy(Clip(path=picture_folder), tmp_path / "none.mp4", settings=SETTINGS)


@pytest.mark.parametrize("degrees", [0, 90, 180, 270])
@pytest.mark.parametrize("hflip", [False, True])
def test_a_turned_or_mirrored_video_is_copied_as_shown(tmp_path: Path, degrees: int, hflip: bool) -> None:
    path = write_turned(tmp_path / "turned.mp4", degrees=degrees, hflip=hflip)
    copy = copied(Clip(path=path), tmp_path / "copy.mp4", CopySettings(size=32, crf=10))
    assert levels_apart(Clip(path=path), copy, size=16) < 8
    with av.open(str(copy.path)) as container:
        frame = next(container.decode(video=0))
        assert sides(frame).get("DISPLAYMATRIX") is None
    assert CORNERS.shape[0] == 64


@pytest.mark.parametrize("aspect", [Fraction(64, 45), Fraction(2)])
@pytest.mark.parametrize("degrees", [0, 90])
def test_pixels_become_square(tmp_path: Path, aspect: Fraction, degrees: int) -> None:
    path = write_disc(tmp_path / "disc.mp4", aspect=aspect, degrees=degrees)
    copy = copied(Clip(path=path), tmp_path / "copy.mp4")
    height, width = white_sides(decode_all(copy, size=HEIGHT)[0])
    assert (abs(height - 48) <= 2, abs(width - 48) <= 2) == (True, True)
    with av.open(str(copy.path)) as container:
        assert float(container.streams.video[0].sample_aspect_ratio or 1) == pytest.approx(1, abs=0.05)


@pytest.mark.parametrize(("height", "width"), [(720, 1280), (480, 854), (1000, 562), (260, 210)])
def test_a_copy_is_read_without_scaling(tmp_path: Path, height: int, width: int) -> None:
    """Scaling takes longer than decoding: a copy of square pixels declares no other shape."""
    clip = Clip(path=write_bar(tmp_path / "bar.mp4", height=height, width=width, num_frames=3))
    copy = copied(clip, tmp_path / "copy.mp4")
    with av.open(str(copy.path)) as container:
        stored = next(container.decode(video=0))
        assert container.streams.video[0].sample_aspect_ratio in (None, 0, 1)
    size = min(stored.height, stored.width)
    assert fitted_size(stored.height, stored.width, size=size, fit="crop") == (stored.height, stored.width)
    assert levels_apart(clip, copy, size=size) < 1.5


def test_the_same_clip_gives_the_same_bytes(write_video, tmp_path: Path) -> None:
    clip = Clip(path=write_video())
    one, other = (copied(clip, tmp_path / f"{name}.mp4").path.read_bytes() for name in "ab")
    assert one == other


def test_less_quality_and_size_take_less_space(tmp_path: Path) -> None:
    clip = Clip(path=write_bar(tmp_path / "bar.mp4", height=96, width=128, num_frames=12))
    sizes = [
        copied(clip, tmp_path / f"{number}.mp4", settings).path.stat().st_size
        for number, settings in enumerate([CopySettings(crf=5), CopySettings(crf=40), CopySettings(size=32)])
    ]
    assert sizes[0] > sizes[1] > sizes[2]


def test_a_damaged_clip_is_refused(write_video, tmp_path: Path) -> None:
    path = damage(write_video(num_frames=30), packet=20)
    with pytest.raises(DataError, match="is damaged"):
        write_copy(Clip(path=path), tmp_path / "copy.mp4", settings=SETTINGS)


def test_pictures_of_two_sizes_are_refused(picture_folder: Path, tmp_path: Path) -> None:
    Image.new("RGB", (20, 20)).save(picture_folder / "images5.png")
    with pytest.raises(DataError, match="picture 4 has 20 x 20 pixels and the first 48 x 32"):
        write_copy(Clip(path=picture_folder, fps=25), tmp_path / "copy.mp4", settings=SETTINGS)


@pytest.mark.skipif(not os.path.exists("/dev/full"), reason="no /dev/full")
def test_a_full_disk_is_no_fault_of_the_clip(write_video) -> None:
    with pytest.raises(OSError, match="No space left") as caught:
        write_copy(Clip(path=write_video()), Path("/dev/full"), settings=SETTINGS)
    assert (caught.value.errno, caught.value.filename) == (errno.ENOSPC, "/dev/full")


@pytest.mark.parametrize(
    ("settings", "message"),
    [({"size": 255}, "even number of at least 16, but is 255"), ({"crf": 52}, "0..51, but is 52")],
)
def test_wrong_settings_are_refused(settings: dict[str, int], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        CopySettings(**settings)
