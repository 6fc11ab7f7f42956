"""Videos that break off: refused, or kept up to the fault."""

from collections.abc import Callable
from pathlib import Path

import av
import numpy as np
import pytest

from fla_llm.core.errors import DataError
from fla_llm.video import (
    Clip,
    DamagedVideoError,
    FrameSampling,
    Timeline,
    count_frames,
    decode_all,
    read_frames,
    select_frames,
)

from .conftest import damage, packet_place

KEPT = FrameSampling(stride=3, max_frames=5)


def cut_off(path: Path) -> Path:
    """End a file amid its 21st packet."""
    begin, size = packet_place(path, 20)
    path.write_bytes(path.read_bytes()[: begin + size // 2])
    return path


def break_mark(path: Path) -> Path:
    """Overwrite the mark before the 21st picture of a YUV4MPEG file."""
    parts = path.read_bytes().split(b"FRAME")
    path.write_bytes(b"FRAME".join(parts[:21]) + b"XXXXX" + b"FRAME".join(parts[21:]))
    return path


DAMAGED: dict[str, tuple[str, dict, Callable[[Path], Path], str]] = {
    "h264.mp4": ("libx264", {}, lambda path: damage(path, 20), "frame 20 cannot be decoded"),
    "mpeg4.mkv": ("mpeg4", {}, lambda path: damage(path, 20), "frame 20 cannot be decoded"),
    "vp9.webm": ("libvpx-vp9", {}, lambda path: damage(path, 20), "frame 20 cannot be decoded"),
    "early.mp4": ("libx264", {"movflags": "faststart"}, cut_off, "packet 20 is not whole"),
    "late.mkv": ("libx264", {}, cut_off, "it declares 4.00 s, but ends at 2.00 s"),
    "raw.y4m": ("rawvideo", {}, break_mark, "cannot be read to its end: Invalid data"),
}
"""Codec, options of the container, the fault, what is said of it; 20 frames come before it."""


@pytest.fixture(params=DAMAGED)
def damaged(request: pytest.FixtureRequest, write_video) -> tuple[Clip, str]:
    codec, options, harm, message = DAMAGED[request.param]
    codec_options = {"g": "6", "bf": "0"} if codec in ("libx264", "mpeg4") else {"g": "6"}
    path = write_video(
        request.param, num_frames=40, codec=codec, options=options, codec_options=codec_options
    )
    return Clip(path=harm(path)), message


def test_damaged_video_is_refused_or_kept_up_to_the_fault(damaged, indices_of) -> None:
    clip, message = damaged
    with pytest.raises(DamagedVideoError, match=f"{clip.path.name} is .*{message}"):
        read_frames(clip, sampling=KEPT, size=8)
    every = read_frames(clip, sampling=FrameSampling(stride=1), size=8, keep_partial=True)
    np.testing.assert_allclose(indices_of(every), range(20), atol=1)  # MPEG-4 darkens a little


@pytest.mark.parametrize("phase", [0, 2])
@pytest.mark.parametrize("fps", [None, 4])
def test_selection_is_that_of_a_clip_that_ends_at_the_fault(
    write_video, phase: int, fps: float | None
) -> None:
    """Whatever the header declares: its 40 frames, or their 4 s, have no say in it."""
    options = {"g": "6", "bf": "0"}
    sampling = FrameSampling(stride=3, max_frames=5, fps=fps)
    good = Clip(path=write_video("good.mp4", num_frames=40, codec_options=options))
    bad = Clip(path=damage(write_video("bad.mp4", num_frames=40, codec_options=options), 20))
    ends_there = Clip(path=good.path, end_seconds=2.0)
    assert count_frames(bad) == 40
    assert count_frames(ends_there) == 20
    np.testing.assert_array_equal(
        read_frames(bad, sampling=sampling, phase=phase, size=8, keep_partial=True),
        read_frames(ends_there, sampling=sampling, phase=phase, size=8),
    )


def test_frames_too_few_for_the_packets_are_kept(write_video, monkeypatch: pytest.MonkeyPatch) -> None:
    clip = Clip(path=write_video())
    declared = Timeline(clip=clip, num_frames=31, times=None)
    monkeypatch.setattr("fla_llm.video.frames.read_timeline", lambda clip: declared)
    with pytest.raises(DamagedVideoError, match="clip.mp4 must give 31 frames, .* but gives 30"):
        read_frames(clip, sampling=KEPT, size=8)
    kept = read_frames(clip, sampling=KEPT, size=8, keep_partial=True)
    np.testing.assert_array_equal(kept, decode_all(clip, size=8)[select_frames(30, sampling=KEPT)])


def pack_in_pairs(source: Path, path: Path) -> Path:
    """Put each two VP9 frames into one packet, as a superframe (VP9 bitstream specification, annex B)."""
    with av.open(str(source)) as whole, av.open(str(path), "w") as paired:
        stream = paired.add_stream_from_template(whole.streams.video[0], opaque=True)
        packets = [packet for packet in whole.demux(video=0) if packet.size]
        for first, second in zip(packets[::2], packets[1::2], strict=True):
            marker = bytes([0b110_11_001])  # sizes of four bytes, two frames
            sizes = first.size.to_bytes(4, "little") + second.size.to_bytes(4, "little")
            packet = av.Packet(bytes(first) + bytes(second) + marker + sizes + marker)
            packet.pts, packet.dts, packet.time_base = first.pts, first.dts, first.time_base
            packet.is_keyframe, packet.stream = first.is_keyframe, stream
            paired.mux(packet)
    return path


@pytest.mark.parametrize("phase", [0, 2])
def test_more_frames_than_counted_are_refused_or_kept(
    write_video, tmp_path: Path, indices_of, phase: int
) -> None:
    options = {"g": "6", "auto-alt-ref": "0"}
    source = write_video("whole.webm", num_frames=20, codec="libvpx-vp9", codec_options=options)
    clip = Clip(path=pack_in_pairs(source, tmp_path / "pairs.webm"))
    assert count_frames(clip) == 10
    with pytest.raises(DamagedVideoError, match="pairs.webm must give 10 frames, .* but gives 20"):
        read_frames(clip, sampling=KEPT, phase=phase, size=8)
    with pytest.raises(DamagedVideoError, match="must give 10 frames, .* but gives 20"):
        decode_all(clip, size=8)
    every = FrameSampling(stride=1)
    assert indices_of(read_frames(clip, sampling=every, size=8, keep_partial=True)) == list(range(20))


def test_keeping_changes_nothing_of_a_good_video(write_video) -> None:
    clip = Clip(path=write_video())
    kept = read_frames(clip, sampling=KEPT, size=8, keep_partial=True)
    np.testing.assert_array_equal(kept, read_frames(clip, sampling=KEPT, size=8))


def test_without_a_frame_before_the_fault_nothing_is_kept(write_video) -> None:
    path = damage(write_video("a.mkv", codec="mpeg4", codec_options={"bf": "0"}), 0)
    with pytest.raises(DamagedVideoError, match="a.mkv is damaged: frame 0 cannot be decoded"):
        read_frames(Clip(path=path), sampling=KEPT, size=8, keep_partial=True)


def test_cut_before_the_fault_knows_nothing_of_it(write_video) -> None:
    path = damage(write_video(num_frames=40, codec_options={"g": "6", "bf": "0"}), 30)
    assert len(decode_all(Clip(path=path, end_seconds=2.0), size=8)) == 20


def test_wrong_times_and_what_is_no_video_stay_refused(write_video, tmp_path: Path) -> None:
    clip = Clip(path=write_video(), start_seconds=5.0)
    with pytest.raises(DataError, match="must hold frames from 5.0 s to its end, but has none there"):
        read_frames(clip, sampling=KEPT, size=8, keep_partial=True)
    (tmp_path / "x.mp4").write_text("no video")
    with pytest.raises(DataError, match="x.mp4 cannot be read as a video"):
        read_frames(Clip(path=tmp_path / "x.mp4"), sampling=KEPT, size=8, keep_partial=True)


def test_damaged_picture_of_a_folder_stays_refused(picture_folder: Path) -> None:
    (picture_folder / "images7.png").write_bytes(b"no picture")
    with pytest.raises(DataError, match="images7.png cannot be read as a picture"):
        read_frames(Clip(path=picture_folder), sampling=KEPT, size=8, keep_partial=True)
