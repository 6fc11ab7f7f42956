from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from fla_llm.core.errors import DataError
from fla_llm.video import Clip, FrameSampling, decode_all, probe, read_frames, select_frames

SAMPLING = FrameSampling(stride=3, max_frames=6)


def test_frames_come_in_the_order_shown(write_video, indices_of) -> None:
    assert indices_of(decode_all(Clip(path=write_video()), size=16)) == list(range(30))


def test_a_title_in_a_wrong_encoding_is_no_reason_to_refuse(write_video, indices_of) -> None:
    path = write_video("titled.mkv")
    content = path.read_bytes()
    assert content.count(b"Lavf") >= 1  # what wrote the file is a text in it too
    path.write_bytes(content.replace(b"Lavf", b"\xff\xfe\xe9f"))
    assert indices_of(decode_all(Clip(path=path), size=16)) == list(range(30))


@pytest.mark.parametrize("fit", ["crop", "stretch"])
@pytest.mark.parametrize("phase", [0, 2])
def test_read_frames_are_the_selected_ones_of_decode_all(write_video, fit, phase: int) -> None:
    clip = Clip(path=write_video())
    every = decode_all(clip, size=20, fit=fit)
    read = read_frames(clip, sampling=SAMPLING, phase=phase, size=20, fit=fit)
    assert read.dtype == np.uint8
    np.testing.assert_array_equal(read, every[select_frames(30, sampling=SAMPLING, phase=phase)])


def test_same_law_for_folders(picture_folder: Path, indices_of) -> None:
    clip = Clip(path=picture_folder)
    every = decode_all(clip, size=16)
    assert indices_of(every) == list(range(12))  # 10 after 9, not after 1
    read = read_frames(clip, sampling=SAMPLING, phase=1, size=16)
    np.testing.assert_array_equal(read, every[[1, 4, 7, 10]])


@pytest.mark.parametrize("name", ["a.mp4", "a.mkv", "a.ts"])
@pytest.mark.parametrize(("start", "end"), [(0.4, 1.1), (2.3, None), (1.7, 2.9)])
def test_cut_is_the_part_of_the_whole(write_video, name: str, start: float, end: float | None) -> None:
    path = write_video(name, codec_options={"g": "12", "bf": "3"})
    whole = decode_all(Clip(path=path), size=16)
    cut = decode_all(Clip(path=path, start_seconds=start, end_seconds=end), size=16)
    stop = None if end is None else round(end * 10)
    np.testing.assert_array_equal(cut, whole[round(start * 10) : stop])


def test_video_that_gives_another_number_than_counted_is_refused(
    write_video, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("fla_llm.video.frames.count_frames", lambda clip: 31)
    with pytest.raises(
        DataError, match="clip.mp4 must give 31 frames, as many as it has packets, but gives 30"
    ):
        decode_all(Clip(path=write_video()), size=8)


def test_crop_keeps_the_middle_and_stretch_keeps_all(tmp_path: Path) -> None:
    picture = np.zeros((20, 60, 3), np.uint8)
    picture[:, 20:40] = 255  # a white square between black sides
    (tmp_path / "f").mkdir()
    Image.fromarray(picture).save(tmp_path / "f" / "1.png")
    clip = Clip(path=tmp_path / "f")
    assert decode_all(clip, size=10, fit="crop")[0, :, 1:9].min() > 250
    stretched = decode_all(clip, size=30, fit="stretch")[0]
    assert stretched[:, :8].max() < 5
    assert stretched[:, 12:18].min() > 250


def test_picture_on_its_side_is_turned_upright(tmp_path: Path) -> None:
    stored = np.zeros((20, 40, 3), np.uint8)
    stored[:, :20] = 255  # white on the left
    exif = Image.Exif()
    exif[0x0112] = 6  # to be turned clockwise: left becomes top
    Image.fromarray(stored).save(tmp_path / "1.jpg", exif=exif)
    clip = Clip(path=tmp_path)
    assert (probe(clip).height, probe(clip).width) == (40, 20)
    shown = decode_all(clip, size=20, fit="stretch")[0]
    assert shown[:8].min() > 240
    assert shown[12:].max() < 15


def test_real_sign_clips_are_counted_as_decoded(shared_data: Path) -> None:
    clips = sorted((shared_data / "how2sign" / "rgb_front" / "raw_videos").glob("*.mp4"))
    shortest = sorted(clips, key=lambda path: path.stat().st_size)[:3]
    for path in shortest:
        info = probe(Clip(path=path))
        assert (info.height, info.width, info.fps) == (720, 1280, 24.0)
        assert info.num_frames == len(decode_all(Clip(path=path), size=32))
