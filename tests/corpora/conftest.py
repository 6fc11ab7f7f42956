"""Tiny releases in their official layouts: frame folders of 16x16 pictures, H.264 clips of a few frames."""

from collections.abc import Callable, Iterable
from pathlib import Path

import av
import numpy as np
import pytest
from PIL import Image

WriteFrames = Callable[..., None]
WriteVideo = Callable[..., None]
WriteLines = Callable[[Path, Iterable[str]], Path]


@pytest.fixture(scope="session")
def write_frames() -> WriteFrames:
    def write(folder: Path, *, count: int = 3, suffix: str = ".png") -> None:
        folder.mkdir(parents=True)
        for number in range(count):
            Image.new("RGB", (16, 16), (number * 20, 0, 0)).save(folder / f"images{number + 1:04d}{suffix}")

    return write


@pytest.fixture(scope="session")
def write_video() -> WriteVideo:
    def write(path: Path, *, count: int = 6, fps: int = 24) -> None:
        path.parent.mkdir(parents=True, exist_ok=True)
        with av.open(str(path), "w") as container:
            stream = container.add_stream("libx264", rate=fps)
            stream.width = stream.height = 16
            stream.pix_fmt = "yuv420p"
            for number in range(count):
                picture = np.full((16, 16, 3), number * 9 % 256, dtype=np.uint8)
                container.mux(stream.encode(av.VideoFrame.from_ndarray(picture, format="rgb24")))
            container.mux(stream.encode())

    return write


@pytest.fixture(scope="session")
def write_lines() -> WriteLines:
    """Write lines as the official files have them: UTF-8, CRLF."""

    def write(path: Path, lines: Iterable[str]) -> Path:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes("".join(f"{line}\r\n" for line in lines).encode("utf-8"))
        return path

    return write


@pytest.fixture
def phoenix(tmp_path: Path, write_frames: WriteFrames, write_lines: WriteLines) -> Path:
    """Return PHOENIX-2014-T-release-v3 with one clip in dev and two in train; test has no annotation."""
    release = tmp_path / "PHOENIX-2014-T-release-v3"
    inner = release / "PHOENIX-2014-T"
    clips = {"train": ["heute-1", "heute-2"], "dev": ["heute-3"]}
    for split, names in clips.items():
        rows = [
            f'{name}|{name}/1/*.png|-1|-1|Signer0{number}|REGEN|und "heute der regen {name}'
            for number, name in enumerate(names, 1)
        ]
        annotation = inner / f"annotations/manual/PHOENIX-2014-T.{split}.corpus.csv"
        write_lines(annotation, ["name|video|start|end|speaker|orth|translation", *rows])
        for name in names:
            write_frames(inner / "features/fullFrame-210x260px" / split / name)
    return release


@pytest.fixture
def csl(tmp_path: Path, write_frames: WriteFrames, write_video: WriteVideo, write_lines: WriteLines) -> Path:
    """Return CSL-Daily: a frame folder, an mp4, an empty sentence, a row that only one file has, each way."""
    release = tmp_path / "csl-daily"
    sentences = {
        "S000001_P0000_T00": "对 不 起 ！", "S000002_P0004_T00": "没 关 系 ！",
        "S000003_P0000_T00": "", "S000007_P0003_T00": "他 是 谁 ？",
    }  # fmt: skip
    rows = [f"{n:06d}|{name}|3|g|{char}|w|v" for n, (name, char) in enumerate(sentences.items())]
    write_lines(release / "sentence_label/video_map.txt", ["index|name|length|gloss|char|word|postag", *rows])
    write_lines(
        release / "sentence_label/split_1.txt",
        ["name|split", "S000001_P0000_T00|train", "S000002_P0004_T00|test", "S000003_P0000_T00|train",
         "S000005_P0004_T00|train"],
    )  # fmt: skip
    frames = release / "sentence/frames_512x512"
    write_frames(frames / "S000001_P0000_T00", suffix=".jpg")
    write_frames(frames / "S000003_P0000_T00", suffix=".jpg")
    write_video(frames / "S000002_P0004_T00.mp4", fps=30)
    return release


H2S_HEADER = "\t".join(
    ["VIDEO_ID", "VIDEO_NAME", "SENTENCE_ID", "SENTENCE_NAME", "START_REALIGNED", "END_REALIGNED", "SENTENCE"]
)


@pytest.fixture
def how2sign(tmp_path: Path, write_video: WriteVideo, write_lines: WriteLines) -> Path:
    """Return How2Sign as its script lays it out: a 2 s video of two sentences, cut into clips of 0.25 s."""
    release = tmp_path / "How2Sign"
    rows = [
        'v1\tv1-5\tv1_0\tv1_0-5\t0.5\t1.0\t"Say ""hi"", then."',
        "v1\tv1-5\tv1_1\tv1_1-5\t1.0\t1.75\tThen rest.",
    ]
    for split, lines in {"train": rows, "val": [row.replace("v1", "v2") for row in rows]}.items():
        level = release / "sentence_level" / split
        write_lines(
            level / f"text/en/raw_text/re_aligned/how2sign_realigned_{split}.csv", [H2S_HEADER, *lines]
        )
        for name in (line.split("\t")[3] for line in lines):
            write_video(level / f"rgb_front/raw_videos/{name}.mp4")
        video = release / "video_level" / split / "rgb_front/raw_videos" / f"{lines[0].split(chr(9))[1]}.mp4"
        write_video(video, count=48)
    return release


@pytest.fixture
def table(tmp_path: Path, write_video: WriteVideo, write_lines: WriteLines) -> Path:
    """Return a CSV beside its videos; its split is called val."""
    for name in ("a", "b"):
        write_video(tmp_path / f"videos/{name}.mp4")
    rows = [
        "id,split,video,text,signer",
        'x/1,train,videos/a.mp4,"One, two.",ada',
        "x/2,val,videos/b.mp4,Three.,",
    ]
    return write_lines(tmp_path / "table.csv", rows)
