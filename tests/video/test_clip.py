import os
import subprocess
import sys
from pathlib import Path

import av
import pytest
from PIL import Image

from fla_llm.core.errors import DataError
from fla_llm.video import Clip, count_frames, decode_all, probe

from .conftest import copy_packets


def test_probe_tells_frames_rate_and_size(write_video) -> None:
    info = probe(Clip(path=write_video(num_frames=30, fps=10)))
    assert (info.num_frames, info.fps, info.height, info.width) == (30, 10.0, 32, 48)


@pytest.mark.parametrize(
    ("name", "codec"),
    [
        ("a.mp4", "libx264"),
        ("a.mkv", "libx264"),
        ("a.avi", "libx264"),
        ("a.ts", "libx264"),
        ("a.mpg", "mpeg2video"),
        ("a.webm", "libvpx"),
        ("b.webm", "libvpx-vp9"),
        ("a.mov", "mpeg4"),
    ],
)
def test_packets_are_counted_as_decoding_counts(write_video, name: str, codec: str) -> None:
    clip = Clip(path=write_video(name, codec=codec, codec_options={"g": "6"}))
    assert count_frames(clip) == len(decode_all(clip, size=8)) == 30


@pytest.mark.parametrize("name", ["cut.mkv", "cut.mp4"])
@pytest.mark.parametrize("begin", [7, 14])
def test_stream_that_begins_amid_others_is_counted_as_decoded(
    write_video, tmp_path: Path, name: str, begin: int
) -> None:
    """As cutting without encoding anew leaves it; what refers to the lost part cannot be decoded."""
    source = write_video("whole.mkv", num_frames=40, codec_options={"g": "12", "bf": "2"})
    clip = Clip(path=copy_packets(source, tmp_path / name, begin=begin))
    assert 0 < count_frames(clip) == len(decode_all(clip, size=8)) < 40 - begin


def test_importing_the_room_stays_light() -> None:
    code = "import sys, fla_llm.video; print([m for m in ('torch', 'av', 'PIL') if m in sys.modules])"
    result = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert result.stdout.strip() == "[]"


def test_fragmented_file_declares_nothing_and_is_counted(write_video) -> None:
    path = write_video(options={"movflags": "frag_keyframe+empty_moov"})
    assert count_frames(Clip(path=path)) == 30


@pytest.mark.parametrize("name", ["-lead.mp4", "http:x.mp4", "a b/ü%03d.mp4", "q?a#b&c.mp4"])
def test_names_are_never_taken_for_protocols_or_options(
    write_video, name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = write_video(name, num_frames=3)
    monkeypatch.chdir(path.parent)
    assert count_frames(Clip(path=Path(path.name))) == 3


@pytest.mark.parametrize(
    ("start", "end", "expected"),
    [(0.5, 1.0, 5), (None, 0.3, 3), (2.5, None, 5), (0.1, 0.2, 1), (2.0, 3.4, 10), (1.85, 2.0, 1)],
)
@pytest.mark.parametrize("name", ["a.mp4", "a.mkv", "a.ts"])
def test_cut_counts_frames_shown_in_the_half_open_span(
    write_video, name: str, start: float | None, end: float | None, expected: int
) -> None:
    clip = Clip(path=write_video(name), start_seconds=start, end_seconds=end)
    assert count_frames(clip) == len(decode_all(clip, size=8)) == expected


def test_folder_of_pictures(picture_folder: Path) -> None:
    info = probe(Clip(path=picture_folder))
    assert (info.num_frames, info.fps, info.height, info.width) == (12, None, 32, 48)


@pytest.mark.parametrize(
    ("start", "end", "message"),
    [
        (-1.0, None, "start must be 0 s or later, but is -1.0 s"),
        (float("nan"), None, "start must be 0 s or later, but is nan s"),
        (2.0, 2.0, r"end must be later than start \(2.0 s\), but is 2.0 s"),
        (None, float("inf"), "end must be later than start .* but is inf s"),
    ],
)
def test_impossible_times_are_refused(start: float | None, end: float | None, message: str) -> None:
    with pytest.raises(DataError, match=message):
        Clip(path=Path("a.mp4"), start_seconds=start, end_seconds=end)


@pytest.mark.parametrize(
    ("start", "end", "message"),
    [
        (3.2, None, r"must hold frames from 3.2 s to its end, but has none there; it ends at 3.00 s"),
        (5.0, 6.0, r"must hold frames from 5.0 s to 6.0 s, but has none there; it ends at 3.00 s"),
        (0.0, 4.0, r"ends at 3.00 s, but is to be cut at 4.0 s"),
    ],
)
def test_times_beyond_the_end_are_refused(write_video, start: float, end: float | None, message: str) -> None:
    clip = Clip(path=write_video(), start_seconds=start, end_seconds=end)
    with pytest.raises(DataError, match=f"clip.mp4 {message}"):
        count_frames(clip)


def test_folder_cannot_be_cut(picture_folder: Path) -> None:
    with pytest.raises(DataError, match="has no times, but is to be cut from 1.0 to None s"):
        probe(Clip(path=picture_folder, start_seconds=1.0))


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (None, "must be a video file or a folder of pictures, but does not exist"),
        (b"", r"must be a video file, but is empty \(0 bytes\)"),
        (b"hello world\n" * 99, "cannot be read as a video"),
        (b"ffconcat version 1.0\nfile '/etc/passwd'\n", "cannot be read as a video"),
        (b"#EXTM3U\n#EXT-X-TARGETDURATION:9\n#EXTINF:9,\nx.mp4\n", "cannot be read as a video"),
    ],
)
@pytest.mark.parametrize("name", ["x.mp4", "x.txt"])
def test_what_is_no_video_is_refused(tmp_path: Path, content: bytes | None, message: str, name: str) -> None:
    path = tmp_path / name
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(DataError, match=message):
        probe(Clip(path=path))


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="no named pipes on this system")
def test_pipe_is_refused_not_waited_for(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe.mp4")
    with pytest.raises(DataError, match="is not a plain file"):
        probe(Clip(path=tmp_path / "pipe.mp4"))


def test_sound_alone_is_refused(tmp_path: Path) -> None:
    with av.open(str(tmp_path / "sound.mov"), "w") as container:
        stream = container.add_stream("pcm_s16le", rate=16000)
        frame = av.AudioFrame(format="s16", layout="mono", samples=1024)
        frame.sample_rate = 16000
        container.mux(stream.encode(frame))
        container.mux(stream.encode())
    with pytest.raises(DataError, match="must hold a video stream, but has none"):
        probe(Clip(path=tmp_path / "sound.mov"))


@pytest.mark.parametrize(
    ("name", "options", "message"),
    [
        ("late.mp4", {}, "cannot be read as a video"),
        ("early.mp4", {"movflags": "faststart"}, "is damaged: packet|is cut off: it declares"),
        ("a.mkv", {}, "is cut off: it declares 6.00 s, but ends at"),
    ],
)
def test_file_cut_off_is_refused(write_video, name: str, options: dict, message: str) -> None:
    path = write_video(name, num_frames=60, options=options)
    content = path.read_bytes()
    path.write_bytes(content[: len(content) * 6 // 10])
    with pytest.raises(DataError, match=message):
        decode_all(Clip(path=path), size=8)


def test_folder_without_pictures_is_refused(tmp_path: Path) -> None:
    (tmp_path / "notes.txt").write_text("no picture")
    (tmp_path / "._images1.png").write_text("what macOS leaves behind")
    with pytest.raises(DataError, match="must hold .png, .jpg, .jpeg pictures, but has none"):
        probe(Clip(path=tmp_path))


def test_folder_with_two_kinds_is_refused(picture_folder: Path) -> None:
    Image.new("RGB", (4, 4)).save(picture_folder / "images1.jpg")
    with pytest.raises(DataError, match="must hold pictures of one kind, but has .jpg and .png"):
        probe(Clip(path=picture_folder))


def test_damaged_picture_is_named(picture_folder: Path) -> None:
    damaged = picture_folder / "images7.png"
    damaged.write_bytes(damaged.read_bytes()[:40])
    with pytest.raises(DataError, match="images7.png cannot be read as a picture"):
        decode_all(Clip(path=picture_folder), size=8)
