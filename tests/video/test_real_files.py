"""Every file of shared/data/decode: what comes of it, or why it is refused."""

from pathlib import Path

import pytest

from fla_llm.core.errors import DataError
from fla_llm.video import Clip, FrameSampling, count_frames, decode_all, probe, read_frames

READ = {  # frames, height and width as shown
    "av1_video.mkv": (125, 360, 640),
    "bbb_480p_vp9_opus_1second.webm": (24, 480, 854),
    "carphone_pristine.mp4": (120, 144, 193),  # stored 176 wide, in pixels of 128:117
    "flipping_a_pancake.mkv": (310, 240, 426),
    "h264_10bits.mp4": (30, 200, 200),
    "h265_10bits.mp4": (30, 200, 200),
    "nasa_13013.mp4": (390, 270, 480),  # of its two video streams the default one; the other is 320 x 180
    "unordered.mov": (4, 50, 50),  # the header's parts in an unusual order
    "video_90.mov": (3, 568, 320),  # stored 320 x 568
    "video_180.mov": (3, 320, 568),
}
REFUSED = {
    "corrupted.mp4": "is damaged: frame 28 cannot be decoded: Invalid data found",
    "invalid_vp9_bitstream-bug_1416.webm": "at most 67108864 pixels, but declares 12336 x 12336",
}


@pytest.fixture(scope="module")
def folder(shared_data: Path) -> Path:
    path = shared_data / "decode"
    if not path.is_dir():
        pytest.skip(f"no real data at {path}")
    return path


def test_every_file_is_spoken_of(folder: Path) -> None:
    assert {file.name for file in folder.iterdir()} == READ.keys() | REFUSED.keys()


@pytest.mark.parametrize("name", READ)
def test_good_file_gives_what_it_holds(folder: Path, name: str) -> None:
    clip = Clip(path=folder / name)
    info = probe(clip)
    assert (info.num_frames, info.height, info.width) == READ[name]
    assert len(decode_all(clip, size=16)) == info.num_frames


@pytest.mark.parametrize("name", READ)
@pytest.mark.parametrize("phase", [0, 1])
def test_one_frame_a_second_is_shown_a_second_apart(folder: Path, name: str, phase: int) -> None:
    clip = Clip(path=folder / name)
    info = probe(clip)
    assert info.fps is not None
    frames = read_frames(clip, sampling=FrameSampling(fps=1, stride=2), phase=phase, size=16)
    assert abs(len(frames) - max(1, info.num_frames / info.fps - phase / 2)) <= 1


@pytest.mark.parametrize("name", REFUSED)
@pytest.mark.parametrize("phase", [0, 1])
def test_bad_file_is_refused_at_every_phase(folder: Path, name: str, phase: int) -> None:
    clip = Clip(path=folder / name)
    with pytest.raises(DataError, match=f"{name}.*{REFUSED[name]}"):
        read_frames(clip, sampling=FrameSampling(stride=3, max_frames=6), phase=phase, size=16)


def test_corrupt_file_is_kept_up_to_the_fault(folder: Path) -> None:
    clip = Clip(path=folder / "corrupted.mp4")
    frames = read_frames(clip, sampling=FrameSampling(stride=3), phase=1, size=16, keep_partial=True)
    assert len(frames) == len(range(1, 28, 3)) < count_frames(clip) / 3


def test_absurd_size_is_refused_whatever_is_kept(folder: Path) -> None:
    clip = Clip(path=folder / "invalid_vp9_bitstream-bug_1416.webm")
    with pytest.raises(DataError, match="declares 12336 x 12336"):
        read_frames(clip, sampling=FrameSampling(), size=16, keep_partial=True)
