"""Law: the frames counted without decoding are the frames that decoding gives."""

from pathlib import Path

import av
import numpy as np
import pytest

from fla_llm.core.errors import DataError
from fla_llm.video import Clip, count_frames, decode_all
from fla_llm.video.decoding import decode_frames

from .conftest import copy_packets, open_to_write

X264 = "keyint=12:min-keyint=12:bframes=3:b-adapt=0:scenecut=0:repeat-headers=1"
KINDS = {
    "h264, closed groups": ("libx264", {"x264-params": X264}),
    "h264, open groups": ("libx264", {"x264-params": f"{X264}:open-gop=1"}),
    "h264, gradual refresh": (
        "libx264",
        {"x264-params": "keyint=12:intra-refresh=1:scenecut=0:repeat-headers=1"},
    ),
    "hevc, closed groups": ("libx265", {"x265-params": f"{X264}:open-gop=0:radl=2:log-level=none"}),
    "hevc, open groups": ("libx265", {"x265-params": f"{X264}:open-gop=1:log-level=none"}),
    "mpeg2": ("mpeg2video", {"g": "12", "bf": "2"}),
    "vp9": ("libvpx-vp9", {"g": "12"}),
    "av1": ("libsvtav1", {"g": "12", "preset": "12"}),
}
"""Encoder and its options."""
CONTAINERS = {"h264": "mkv mp4 ts avi h264", "hevc": "mkv mp4 ts hevc", "mpeg2": "mkv mp4 ts", "vp9": "mkv"}
CASES = [(kind, name) for kind in KINDS for name in CONTAINERS.get(kind.split(",")[0], "mkv mp4").split()]
NUM_FRAMES = 36


def write_moving(
    path: Path, *, codec: str, options: dict[str, str], num_frames: int, width: int = 64
) -> Path:
    """Write a bar that moves over a picture 64 high, so that pictures refer to those beside them."""
    if codec not in av.codecs_available:
        pytest.skip(f"this PyAV has no encoder {codec}")
    with open_to_write(path) as container:
        stream = container.add_stream(codec, rate=25, options=options)
        stream.width, stream.height, stream.pix_fmt = width, 64, "yuv420p"
        for index in range(num_frames):
            picture = np.full((64, width, 3), 40 + 2 * index % 100, np.uint8)
            picture[10:40, 3 * index % (width - 16) :][:, :16] = 230
            container.mux(stream.encode(av.VideoFrame.from_ndarray(picture)))
        container.mux(stream.encode())
    return path


@pytest.fixture(scope="module")
def sources(tmp_path_factory: pytest.TempPathFactory):
    """Return a function that gives a whole video of a kind, written once."""
    folder, written = tmp_path_factory.mktemp("sources"), {}

    def source(kind: str) -> Path:
        if kind not in written:
            codec, options = KINDS[kind]
            path = folder / f"{len(written)}.mkv"
            written[kind] = write_moving(path, codec=codec, options=options, num_frames=NUM_FRAMES)
        return written[kind]

    return source


def number_of_frames(clip: Clip) -> tuple[int, int] | str:
    """Return the frames counted and decoded, or "refused" where counting and decoding both refuse."""
    try:
        counted = count_frames(clip)
    except DataError:
        with pytest.raises(DataError):
            sum(1 for _ in decode_frames(clip))
        return "refused"
    return counted, sum(1 for _ in decode_frames(clip))


@pytest.mark.parametrize(("kind", "suffix"), CASES)
def test_copied_part_counts_what_decoding_gives(sources, tmp_path: Path, kind: str, suffix: str) -> None:
    source = sources(kind)
    with av.open(str(source)) as video:
        key = [i for i, packet in enumerate(video.demux(video=0)) if packet.size and packet.is_keyframe][1]
    for begin in (0, 5, key, key + 1):
        for shift, options in [(False, {}), (True, {"avoid_negative_ts": "disabled"})]:
            path = tmp_path / f"{begin}-{shift}.{suffix}"
            try:
                copy_packets(source, path, begin=begin, shift=shift, options=options)
            except av.error.FFmpegError:
                continue  # a container without negative times
            found = number_of_frames(Clip(path=path))
            if found == "refused":
                assert begin in (5, key + 1), path.name  # amid a group, of which some decoders make nothing
            else:
                assert 0 < found[0] == found[1] <= NUM_FRAMES - begin, path.name


@pytest.mark.parametrize("suffix", ["mkv", "mp4"])
def test_cut_of_a_stream_with_gradual_refresh_is_whole(tmp_path: Path, suffix: str) -> None:
    """The last key frame before 5.2 s is at 4 s, and pictures are whole again 1.5 s after a key frame."""
    options = {"x264-params": "keyint=100:intra-refresh=1:bframes=0:scenecut=0"}
    path = tmp_path / f"a.{suffix}"
    write_moving(path, codec="libx264", options=options, num_frames=160, width=640)
    whole = decode_all(Clip(path=path), size=16)
    cut = decode_all(Clip(path=path, start_seconds=5.2, end_seconds=6.0), size=16)
    np.testing.assert_array_equal(cut, whole[130:150])
