"""Long videos: a line for each segment, the text of the segment alone, subtitles that a player reads back."""

import html
import json
from collections.abc import Callable, Sequence
from fractions import Fraction
from functools import partial
from pathlib import Path

import av
import numpy as np
import pytest
import torch
from click.testing import Result
from little_memory import peak_growth

from fla_llm.core.errors import ConfigError, DataError
from fla_llm.encoder.config import EncoderConfig
from fla_llm.encoder.store import load_encoder
from fla_llm.pipeline.clip_files import ClipReader
from fla_llm.pipeline.feature_recipe import FeatureRecipe
from fla_llm.pipeline.subtitles import Cue, write_subtitles
from fla_llm.pipeline.translate import encode_videos
from fla_llm.video import Clip, FrameSampling
from fla_llm.video.segments import SegmentConfig

Fla = Callable[..., Result]
FPS, SIDE = 25, 64
POSES = EncoderConfig(kind="poses", temporal=False, sampling=FrameSampling(stride=1))


def write_video(path: Path, parts: Sequence[tuple[float, bool]]) -> Path:
    """Write a video of parts: seconds, and whether anything moves."""
    rng, index = np.random.default_rng(0), 0
    array = np.full((SIDE, SIDE, 3), 120, np.uint8)
    with av.open(str(path), "w") as container:
        stream = container.add_stream("mpeg4", rate=FPS)
        stream.width, stream.height, stream.pix_fmt = SIDE, SIDE, "yuv420p"
        for seconds, moves in parts:
            for _ in range(round(seconds * FPS)):
                if moves:
                    array = np.kron(rng.integers(0, 255, (4, 4, 3)), np.ones((16, 16, 1))).astype(np.uint8)
                frame = av.VideoFrame.from_ndarray(array)
                frame.pts, frame.time_base = index, Fraction(1, FPS)
                container.mux(stream.encode(frame))
                index += 1
        container.mux(stream.encode())
    return path


@pytest.fixture(scope="session")
def signed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two sentences with a pause between."""
    path = tmp_path_factory.mktemp("long") / "signed.mp4"
    return write_video(path, [(1, False), (2, True), (2, False), (3, True), (1, False)])


@pytest.fixture
def translate(run_fla: Fla, house: Path) -> Callable[..., Result]:
    run = ("--run", house / "stage2", "--ckpt", house / "stage1", "--device", "cpu", "--set", "num_beams=1")
    return lambda *arguments, exit_code=0: run_fla("translate", *arguments, *run, exit_code=exit_code)


def test_each_segment_is_a_line_and_a_cue(
    translate: Callable[..., Result], signed: Path, tmp_path: Path
) -> None:
    done = translate(signed, "--subtitles", tmp_path / "a.vtt", "--json")
    rows = json.loads(done.stdout)["translations"]
    assert [(round(row["start_seconds"]), round(row["end_seconds"])) for row in rows] == [(1, 3), (5, 8)]
    lines = translate(signed, "--segment", "pauses").stdout.splitlines()
    assert [line.split("\t") for line in lines] == [
        [str(signed), f"{row['start_seconds']:.2f}", f"{row['end_seconds']:.2f}", row["translation"]]
        for row in rows
    ]
    assert (tmp_path / "a.vtt").read_text().startswith("WEBVTT\n")
    longer = translate(signed, "--segment", "pauses", "--pause", 5).stdout.splitlines()
    assert len(longer) == 1
    # Windows: one that holds the whole video says what the video says without segments.
    whole = translate(signed).stdout
    assert whole.count("\n") == 1
    windows = translate(signed, "--segment", "windows", "--longest", 60).stdout.splitlines()
    assert windows == [f"{signed}\t0.00\t9.00\t{whole.strip()}"]
    split = translate(signed, "--segment", "windows", "--longest", 4, "--overlap", 1).stdout.splitlines()
    assert [line.split("\t")[1:3] for line in split] == [["0.00", "4.00"], ["3.00", "7.00"], ["6.00", "9.00"]]


def test_faults_of_long_videos_keep_their_line(
    translate: Callable[..., Result], signed: Path, tmp_path: Path
) -> None:
    cut = tmp_path / "cut.mp4"
    cut.write_bytes(signed.read_bytes()[:3000])
    (tmp_path / "pictures").mkdir()
    av.VideoFrame(8, 8, "rgb24").to_image().save(tmp_path / "pictures" / "1.png")
    done = translate(
        cut, signed, tmp_path / "pictures", tmp_path / "no.mp4", "--segment", "pauses", exit_code=1
    )
    lines = [line.split("\t") for line in done.stdout.splitlines()]
    assert [len(line) for line in lines] == [4] * 5
    assert [line[1] == "" for line in lines] == [True, False, False, True, True]
    assert "is a folder of pictures, which have no times" in done.stderr


def test_the_options_of_long_videos_are_checked_first(run_fla: Fla, signed: Path, tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"a file \.srt or \.vtt"):
        run_fla("translate", signed, "--subtitles", tmp_path / "a.txt")
    two = run_fla("translate", signed, signed, "--subtitles", tmp_path / "a.srt", exit_code=2)
    assert "goes with one video file" in two.stderr
    with pytest.raises(ConfigError, match="overlap_seconds must be below"):
        run_fla("translate", signed, "--segment", "windows", "--longest", 2)


def test_memory_does_not_grow_with_the_length_of_a_video(house: Path, tmp_path: Path) -> None:
    encoder = load_encoder(house / "stage1")
    recipe = FeatureRecipe(sampling=FrameSampling(stride=1), frame_batch=4, dtype=torch.float32)
    read = ClipReader(encoder.config, recipe)

    def work(path: Path) -> None:
        clips, faults = read.segments(path, SegmentConfig(longest_seconds=2)), dict[int, str]()
        found = encode_videos(encoder, clips, recipe=recipe, device=torch.device("cpu"), faults=faults)
        assert sum(1 for _ in found) == len(clips)
        assert not faults

    short, long = (write_video(tmp_path / f"{n}.mp4", [(2, True), (1, False)] * n) for n in (2, 80))
    work(short)  # what is loaded once is not counted
    # The squares of all frames of the long video would take 18 MiB.
    assert peak_growth(partial(work, long)) - peak_growth(partial(work, short)) < 8 * 2**20


def test_hands_at_rest_divide_key_points(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    poses = np.tile(rng.uniform(0.2, 0.8, (1, 133, 3)), (150, 1, 1))
    poses[..., 2] = 0.9
    for start, end in ((20, 60), (90, 130)):
        poses[start:end, 91:133, :2] = rng.uniform(0.2, 0.8, (end - start, 42, 2))
    np.savez(tmp_path / "a.npz", keypoints=poses, fps=25.0)
    np.savez(tmp_path / "b.npz", keypoints=poses)
    read = ClipReader(POSES, FeatureRecipe(sampling=FrameSampling(stride=1), dtype=torch.float32))
    first, second = read.segments(tmp_path / "a.npz", SegmentConfig())
    assert first.start_seconds == pytest.approx(20 / 25, abs=0.3)
    assert second.end_seconds == pytest.approx(130 / 25, abs=0.3)
    whole = read(Clip(path=tmp_path / "a.npz"))
    windows = read.segments(
        tmp_path / "a.npz",
        SegmentConfig(method="windows", longest_seconds=2, overlap_seconds=0),
    )
    # Frames of each part, none twice and none lost.
    assert [len(read(window)) for window in windows] == [50, 50, 50]
    assert len(whole) == 150
    with pytest.raises(DataError, match=r"b\.npz must have a frame rate"):
        read.segments(tmp_path / "b.npz", SegmentConfig())


HOSTILE = "<script>alert(1)</script> & {\\an8}up\n\n2\n00:00:00,000 --> 00:00:09,000\nfalse\x1b[2J"


def read_back(path: Path) -> list[tuple[float, float, str]]:
    """Return the cues as FFmpeg reads them: start, end, and text without escapes."""
    with av.open(str(path)) as container:
        packets = [packet for packet in container.demux(subtitles=0) if packet.size]
        return [
            (float(p.pts * p.time_base), float(p.duration * p.time_base), bytes(p).decode()) for p in packets
        ]


@pytest.mark.parametrize("name", ["a.srt", "a.vtt"])
def test_a_player_reads_the_cues_that_were_written(tmp_path: Path, name: str) -> None:
    cues = [
        Cue(start_seconds=0.5, end_seconds=3.0, text=HOSTILE),
        Cue(start_seconds=2.0, end_seconds=4.0, text=""),
        Cue(start_seconds=3601.0004, end_seconds=3601.0004, text="späte Wörter"),
    ]
    write_subtitles(tmp_path / name, cues)
    first, second = read_back(tmp_path / name)
    assert first[:2] == (0.5, 1.5)  # the empty cue begins at 2 s
    assert second == (3601.0, 0.001, "späte Wörter")
    assert "false" in first[2]
    assert "\n" not in first[2]
    assert "\x1b" not in first[2]
    # No tag, override or time is left that a player could act on. (WebVTT has no overrides.)
    acted_on = ("<s", "</", "-->") if name.endswith("vtt") else ("<s", "</", "-->", "{\\")
    assert not any(mark in first[2] for mark in acted_on)
    # The words themselves are unchanged.
    plain = html.unescape(first[2]).replace("\u2060", "")
    assert plain == " ".join(HOSTILE.split()).replace("\x1b", "\\x1b")
    write_subtitles(tmp_path / name, [])
    assert (tmp_path / name).read_text() == ("WEBVTT\n" if name.endswith("vtt") else "")
