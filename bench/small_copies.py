"""Small copies against originals and against JPEG: python bench/small_copies.py MANIFEST [options].

Frames that fla extract and fla pretrain keep, read by one core: by stride 4, as squares of 256 pixels, from
the videos of a manifest, from small copies of them, and from a JPEG of each frame at the size of the copies.
The JPEG side decodes the kept pictures alone, from memory. All sides take turns in one process. The figure of
a side is its fastest round, in processor time: other work on a machine only makes rounds slower.

Prints kept frames a second, their ratio to the originals, bytes a frame, and peak signal-to-noise ratio of
the squares against those of the originals.
"""

import argparse
import io
import json
import os
import platform
import tempfile
import time
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
from PIL import Image

from fla_llm.core.progress import progress
from fla_llm.corpora import read_manifest
from fla_llm.video import Clip, FrameSampling, count_frames, read_frames, select_frames
from fla_llm.video.copy_settings import CopySettings
from fla_llm.video.geometry import centre_square, fitted_size
from fla_llm.video.small_copy import write_copy

SAMPLING = FrameSampling(stride=4)
SIZE = 256
"""``resize_size`` of the presets of stage one."""
Read = Callable[[], list[np.ndarray]]


def read_clips(clips: Sequence[Clip]) -> list[np.ndarray]:
    return [read_frames(clip, sampling=SAMPLING, size=SIZE) for clip in clips]


def as_jpeg(clips: Sequence[Clip], copy_size: int, quality: int) -> list[list[bytes]]:
    """Return each frame of each clip as JPEG, at the size of a copy."""
    from fla_llm.video.decoding import decode_frames
    from fla_llm.video.folder import list_pictures, upright_picture

    def encoded(image: Image.Image) -> bytes:
        size = min(copy_size, image.width, image.height)
        height, width = fitted_size(image.height, image.width, size=size, fit="crop")
        content = io.BytesIO()
        image.resize((width, height), Image.Resampling.BILINEAR).save(content, "JPEG", quality=quality)
        return content.getvalue()

    found = []
    for clip in clips:
        if clip.path.is_dir():
            images = map(upright_picture, list_pictures(clip.path))
        else:
            images = (frame.to_image() for frame in decode_frames(clip))
        found.append([encoded(image) for image in images])
    return found


def read_jpeg(pictures: Sequence[Sequence[bytes]]) -> list[np.ndarray]:
    def square(content: bytes) -> np.ndarray:
        image = Image.open(io.BytesIO(content)).convert("RGB")
        height, width = fitted_size(image.height, image.width, size=SIZE, fit="crop")
        return centre_square(np.asarray(image.resize((width, height), Image.Resampling.BILINEAR)), size=SIZE)

    return [
        np.stack([square(clip[index]) for index in select_frames(len(clip), sampling=SAMPLING)])
        for clip in pictures
    ]


def signal_to_noise(found: list[np.ndarray], wanted: list[np.ndarray]) -> float:
    errors = [np.mean((a.astype(np.float32) - b) ** 2) for a, b in zip(found, wanted, strict=True)]
    return float(10 * np.log10(255**2 / np.mean(errors)))


def size_on_disk(path: Path) -> int:
    return sum(file.stat().st_size for file in path.iterdir()) if path.is_dir() else path.stat().st_size


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("manifest", type=Path)
    parser.add_argument("--clips", type=int, default=12)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--size", type=int, default=256)
    parser.add_argument("--crf", type=int, nargs="*", default=[17, 20, 23])
    parser.add_argument("--quality", type=int, nargs="*", default=[75, 85])
    args = parser.parse_args()
    manifest = read_manifest(args.manifest)
    originals = [manifest.clip(sample) for sample in manifest.samples[: args.clips]]
    frames = sum(map(count_frames, originals))
    sides: dict[str, tuple[Read, int]] = {
        "originals": (lambda: read_clips(originals), sum(size_on_disk(clip.path) for clip in originals))
    }
    written = {}
    with tempfile.TemporaryDirectory() as folder:
        for crf in args.crf:
            copies = [Clip(path=Path(folder, f"{crf}-{number}.mp4")) for number in range(len(originals))]
            begin = time.process_time()
            for clip, copy in zip(originals, copies, strict=True):
                write_copy(clip, copy.path, settings=CopySettings(size=args.size, crf=crf))
            written[f"H.264 crf {crf}"] = frames / (time.process_time() - begin)
            size = sum(size_on_disk(copy.path) for copy in copies)
            sides[f"H.264 crf {crf}"] = (lambda copies=copies: read_clips(copies), size)
        for quality in args.quality:
            pictures = as_jpeg(originals, args.size, quality)
            size = sum(len(content) for clip in pictures for content in clip)
            sides[f"JPEG quality {quality}"] = (lambda pictures=pictures: read_jpeg(pictures), size)
        wanted = read_clips(originals)
        seconds: dict[str, list[float]] = {name: [] for name in sides}
        for _ in progress(range(args.rounds), desc="rounds"):
            for name, (read, _) in sides.items():
                begin = time.process_time()
                read()
                seconds[name].append(time.process_time() - begin)
        rows = {
            name: {
                "kept_per_second": round(sum(map(len, wanted)) / min(seconds[name]), 1),
                "times_originals": round(min(seconds["originals"]) / min(seconds[name]), 2),
                "bytes_per_frame": round(size / frames),
                "psnr_db": None if name == "originals" else round(signal_to_noise(read(), wanted), 2),
                "frames_written_per_second": round(written[name], 1) if name in written else None,
            }
            for name, (read, size) in sides.items()
        }
    machine = (
        f"{platform.processor() or platform.machine()}, {os.cpu_count()} cores, load {os.getloadavg()[0]:.1f}"
    )
    print(
        json.dumps({"machine": machine, "clips": len(originals), "frames": frames, "sides": rows}, indent=2)
    )


if __name__ == "__main__":
    main()
