from collections.abc import Callable, Iterator
from pathlib import Path

import av
import numpy as np
import pytest
from PIL import Image

WriteVideo = Callable[..., Path]


def gray_frames(num_frames: int, *, height: int = 32, width: int = 48) -> Iterator[np.ndarray]:
    """Frame i is gray, 5 brighter than frame i - 1, so that a decoded frame tells its own index."""
    for index in range(num_frames):
        yield np.full((height, width, 3), min(20 + 5 * index, 250), np.uint8)


@pytest.fixture
def write_video(tmp_path: Path) -> WriteVideo:
    """Writes a small video; options are those of the container (movflags) and the codec (g, bf)."""

    def write(
        name: str = "clip.mp4",
        *,
        num_frames: int = 30,
        codec: str = "libx264",
        fps: int = 10,
        codec_options: dict[str, str] | None = None,
        options: dict[str, str] | None = None,
    ) -> Path:
        path = tmp_path / name
        path.parent.mkdir(exist_ok=True, parents=True)
        with av.open(f"file:{path}", "w", options=options or {}) as container:
            stream = container.add_stream(codec, rate=fps, options=codec_options or {"g": "6", "bf": "2"})
            stream.width, stream.height, stream.pix_fmt = 48, 32, "yuv420p"
            for frame in gray_frames(num_frames):
                container.mux(stream.encode(av.VideoFrame.from_ndarray(frame)))
            container.mux(stream.encode())
        return path

    return write


@pytest.fixture
def picture_folder(tmp_path: Path) -> Path:
    folder = tmp_path / "pictures"
    folder.mkdir()
    for index, frame in enumerate(gray_frames(12)):
        Image.fromarray(frame).save(folder / f"images{index + 1}.png")
    return folder
