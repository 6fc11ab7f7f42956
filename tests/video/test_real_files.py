"""Every file of shared/data/decode and its generated stand-in: what comes of it, or why it is refused."""

from collections.abc import Callable
from pathlib import Path

import pytest

from fla_llm.core.errors import DataError
from fla_llm.video import Clip, FrameSampling, count_frames, decode_all, probe, read_frames

from .stand_ins import ABSURD_SIDE, STAND_INS

Locate = Callable[[str, str], Clip]
ABSURD = f"{ABSURD_SIDE} x {ABSURD_SIDE}"
ORIGINS = ["generated", "real"]
READ = {  # frames, height and width as shown: of the stand-in, of the real file
    "av1_video.mkv": ((30, 64, 96), (125, 360, 640)),
    "bbb_480p_vp9_opus_1second.webm": ((30, 64, 96), (24, 480, 854)),
    "carphone_pristine.mp4": ((30, 64, 105), (120, 144, 193)),  # pixels of 128:117
    "flipping_a_pancake.mkv": ((30, 64, 96), (310, 240, 426)),
    "h264_10bits.mp4": ((30, 64, 96), (30, 200, 200)),
    "h265_10bits.mp4": ((30, 64, 96), (30, 200, 200)),
    "nasa_13013.mp4": ((30, 96, 96), (390, 270, 480)),  # of two video streams the default one
    "unordered.mov": ((30, 64, 96), (4, 50, 50)),  # the header's parts in an unusual order
    "video_90.mov": ((30, 96, 64), (3, 568, 320)),  # stored lying
    "video_180.mov": ((30, 64, 96), (3, 320, 568)),
}
REFUSED = {
    "corrupted.mp4": "is damaged: frame {} cannot be decoded: Invalid data found",
    "invalid_vp9_bitstream-bug_1416.webm": f"at most 67108864 pixels, but declares {ABSURD}",
}
GOOD_FRAMES = {"generated": 12, "real": 28}
"""Frames of corrupted.mp4 before the fault."""


@pytest.fixture(scope="module")
def locate(tmp_path_factory: pytest.TempPathFactory, request: pytest.FixtureRequest) -> Locate:
    """Return a function that gives the file of a name: the real one, or a stand-in that is written once."""
    folder = tmp_path_factory.mktemp("stand_ins")

    def clip(origin: str, name: str) -> Clip:
        if origin == "real":
            return Clip(path=real_folder(request) / name)
        path = folder / name
        return Clip(path=path if path.exists() else STAND_INS[name](path))

    return clip


def real_folder(request: pytest.FixtureRequest) -> Path:
    path = request.getfixturevalue("shared_data") / "decode"
    if not path.is_dir():
        pytest.skip(f"no real data at {path}")
    return path


def test_every_file_is_spoken_of_and_has_a_stand_in() -> None:
    assert STAND_INS.keys() == READ.keys() | REFUSED.keys()


def test_every_real_file_is_spoken_of(request: pytest.FixtureRequest) -> None:
    assert {file.name for file in real_folder(request).iterdir()} == READ.keys() | REFUSED.keys()


@pytest.mark.parametrize("name", READ)
@pytest.mark.parametrize("origin", ORIGINS)
def test_good_file_gives_what_it_holds(locate: Locate, origin: str, name: str) -> None:
    clip = locate(origin, name)
    info = probe(clip)
    assert (info.num_frames, info.height, info.width) == READ[name][ORIGINS.index(origin)]
    assert len(decode_all(clip, size=16)) == info.num_frames


@pytest.mark.parametrize("name", READ)
@pytest.mark.parametrize("phase", [0, 1])
@pytest.mark.parametrize("origin", ORIGINS)
def test_one_frame_a_second_is_shown_a_second_apart(
    locate: Locate, origin: str, name: str, phase: int
) -> None:
    clip = locate(origin, name)
    info = probe(clip)
    assert info.fps is not None
    frames = read_frames(clip, sampling=FrameSampling(fps=1, stride=2), phase=phase, size=16)
    assert abs(len(frames) - max(1, info.num_frames / info.fps - phase / 2)) <= 1


@pytest.mark.parametrize("name", REFUSED)
@pytest.mark.parametrize("phase", [0, 1])
@pytest.mark.parametrize("origin", ORIGINS)
def test_bad_file_is_refused_at_every_phase(locate: Locate, origin: str, name: str, phase: int) -> None:
    clip, message = locate(origin, name), REFUSED[name].format(GOOD_FRAMES[origin])
    with pytest.raises(DataError, match=f"{name}.*{message}"):
        read_frames(clip, sampling=FrameSampling(stride=3, max_frames=6), phase=phase, size=16)


@pytest.mark.parametrize("origin", ORIGINS)
def test_corrupt_file_is_kept_up_to_the_fault(locate: Locate, origin: str) -> None:
    clip = locate(origin, "corrupted.mp4")
    frames = read_frames(clip, sampling=FrameSampling(stride=3), phase=1, size=16, keep_partial=True)
    assert len(frames) == len(range(1, GOOD_FRAMES[origin], 3)) < count_frames(clip) / 3


@pytest.mark.parametrize("origin", ORIGINS)
def test_absurd_size_is_refused_whatever_is_kept(locate: Locate, origin: str) -> None:
    clip = locate(origin, "invalid_vp9_bitstream-bug_1416.webm")
    with pytest.raises(DataError, match=f"declares {ABSURD}"):
        read_frames(clip, sampling=FrameSampling(), size=16, keep_partial=True)
