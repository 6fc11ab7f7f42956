"""Speed of extraction, compared with the speed of its parts: python bench/extract_speed.py SOURCE [options].

SOURCE is a manifest, a folder of videos, or ``pictures``: folders of generated PNGs of PHOENIX-2014T's size.
Measured in turn, several times over, in frames that reach the encoder per second: D, decoding and
transforming alone, on all cores; E, the encoder alone, on all cores, on frames in memory; the whole
extraction, to a shard on disk; and the loop of bench/naive.py. Were nothing lost, the whole would run at
1 / (1/D + 1/E) on a CPU, where both share the cores, and at the smaller of D and E on CUDA; ``ratio`` is the
share of it that is reached. ``encoder_gain`` is E over the naive loop's speed inside the encoder,
``whole_gain`` the same from end to end.

The encoder has random weights: its speed is that of a trained one. For How2Sign, --limit 12
keeps it under six minutes on two cores.
"""

import argparse
import json
import os
import platform
import statistics
import tempfile
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import torch
from naive import naive
from PIL import Image

from fla_llm.core.device import available_cores, default_threads, resolve_device, resolve_dtype
from fla_llm.core.sample import Sample
from fla_llm.core.streams import print_line
from fla_llm.corpora.manifest import Manifest, is_manifest, read_manifest
from fla_llm.encoder.config import EncoderConfig
from fla_llm.encoder.encode import encode
from fla_llm.encoder.model import VisualEncoder
from fla_llm.encoder.store import fingerprint_of
from fla_llm.extract.clips import ClipDataset
from fla_llm.extract.config import ExtractConfig
from fla_llm.extract.decode_ahead import decode_ahead
from fla_llm.extract.extraction import extract
from fla_llm.extract.plan import Extraction
from fla_llm.extract.resolve_settings import resolve_settings
from fla_llm.extract.result import Extracted
from fla_llm.extract.views import View
from fla_llm.video import Clip, probe

VIDEO_SUFFIXES = {".mp4", ".mkv", ".webm", ".mov", ".avi"}


class Bench:
    """Corpus, encoder and configuration of a measurement."""

    def __init__(
        self, manifest: Manifest, encoder: VisualEncoder, *, config: ExtractConfig, device: str
    ) -> None:
        self.manifest = replace(manifest, samples=tuple(replace(s, split="train") for s in manifest.samples))
        self.encoder, self.fingerprint = encoder, fingerprint_of(encoder)
        self.device = resolve_device(device)
        self.config = resolve_settings(
            config, encoder=encoder, fingerprint=self.fingerprint, out=Path("no-folder"), device=self.device,
            leave_note=False,
        )  # fmt: skip
        torch.set_num_threads(self.config.threads or default_threads())
        self.frames = list(self._decode(workers=available_cores()))

    def decode(self) -> float:
        """Return the rate D: decoding and transforming alone, with a process per core."""
        return _rate(lambda: sum(len(frames) for _, frames in self._decode(workers=available_cores())))

    def encode(self) -> float:
        """Return the rate E: the encoder alone, on decoded frames."""
        return _rate(lambda: sum(len(features) for _, features in self._encode()))

    def whole(self) -> tuple[float, Extracted]:
        """Return the rate of the whole extraction, and the result of the extraction."""
        with tempfile.TemporaryDirectory() as folder:
            begin = time.perf_counter()
            extraction = Extraction(
                manifest=self.manifest, encoder=self.encoder, fingerprint=self.fingerprint,
                out=Path(folder), config=self.config, device=self.device,
            )  # fmt: skip
            result = extract(extraction)
            return result.frames / (time.perf_counter() - begin), result

    def naive(self) -> tuple[float, float]:
        """Return the rates of the naive loop, inside the encoder and from end to end."""
        with tempfile.TemporaryDirectory() as folder:
            count, inside, seconds = naive(self.manifest, self.encoder, out=Path(folder), device=self.device)
        return count / inside, count / seconds

    def _decode(self, *, workers: int) -> Iterator[tuple[int, np.ndarray]]:
        views = [View(sample=sample) for sample in self.manifest.samples]
        clips = ClipDataset(self.manifest, views, config=self.encoder.config, extraction=ExtractConfig())
        with decode_ahead(clips, workers=workers) as decoded:
            yield from ((number, frames) for number, frames in decoded if not isinstance(frames, str))

    def _encode(self) -> Iterator[tuple[int, np.ndarray]]:
        return encode(
            self.encoder,
            self.frames,
            frame_batch=self.config.frame_batch or 0,
            level="sign",
            device=self.device,
            dtype=resolve_dtype(self.config.precision, self.device),
        )

    def turn(self) -> tuple[dict[str, float], Extracted]:
        """Measure everything once, in turn."""
        decoded, encoded, (whole, result), (inside, end) = (
            self.decode(), self.encode(), self.whole(), self.naive(),
        )  # fmt: skip
        bound = min(decoded, encoded) if self.device.type == "cuda" else 1 / (1 / decoded + 1 / encoded)
        figures = {
            "D": decoded, "E": encoded, "whole": whole, "ratio": whole / bound,
            "naive_encoder": inside, "naive_whole": end,
            "encoder_gain": encoded / inside, "whole_gain": whole / end,
        }  # fmt: skip
        return figures, result


def _rate(work: Callable[[], int]) -> float:
    begin = time.perf_counter()
    return work() / (time.perf_counter() - begin)


def read_source(source: Path, limit: int | None) -> Manifest:
    """Return a manifest of a file, or of the videos in a folder."""
    if is_manifest(source):
        return read_manifest(source, limit=limit)
    paths = sorted(path for path in source.iterdir() if path.suffix in VIDEO_SUFFIXES)[:limit]
    samples = []
    for path in paths:
        info = probe(Clip(path=path))
        samples.append(
            Sample(
                id=path.stem,
                split="train",
                video=path.name,
                text="-",
                language="en",
                num_frames=info.num_frames,
                fps=info.fps or 25.0,
            )  # fmt: skip
        )
    return Manifest(corpus="folder", root=source.absolute(), samples=tuple(samples))


def make_pictures(root: Path, *, clips: int) -> Manifest:
    """Write folders of smooth random pictures, 210 x 260, 100 frames each: PHOENIX-2014T's clips have 116."""
    generator, samples = np.random.default_rng(0), []
    for number in range(clips):
        folder = root / f"clip{number:03}"
        folder.mkdir()
        coarse = generator.integers(0, 256, (2, 9, 8, 3), dtype=np.uint8)
        ends = [
            np.asarray(Image.fromarray(end).resize((210, 260), Image.Resampling.BICUBIC)) for end in coarse
        ]
        for frame in range(100):
            mixed = (
                ends[0] * (1 - frame / 100) + ends[1] * (frame / 100) + generator.normal(0, 2, (260, 210, 3))
            )
            picture = Image.fromarray(mixed.clip(0, 255).astype(np.uint8))
            picture.save(folder / f"images{frame:04}.png")
        samples.append(
            Sample(
                id=folder.name,
                split="train",
                video=folder.name,
                text="-",
                language="de",
                num_frames=100,
                fps=25.0,
            )
        )
    return Manifest(corpus="pictures", root=root, samples=tuple(samples))


def bf16_instructions() -> list[str]:
    """Return the bf16 instructions of this CPU."""
    flags = torch.cpu.get_capabilities()
    return [name for name in ("avx512_bf16", "amx_bf16") if flags.get(name)]


def parse_args() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("source", type=Path, help="a manifest, a folder of videos, or: pictures")
    parser.add_argument("--backbone", default="resnet18")
    parser.add_argument("--image-size", type=int, default=112)
    parser.add_argument("--frame-batch", type=int, help="default: as in fla extract")
    parser.add_argument("--workers", type=int, help="default: as in fla extract")
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--limit", type=int, help="only the first N videos")
    parser.add_argument("--repeats", type=int, default=3)
    return parser.parse_args()


def main() -> None:
    args = parse_args()
    with tempfile.TemporaryDirectory() as folder:
        if str(args.source) == "pictures":
            measure(args, make_pictures(Path(folder), clips=args.limit or 30))
        else:
            measure(args, read_source(args.source, args.limit))


def measure(args: argparse.Namespace, manifest: Manifest) -> None:
    torch.manual_seed(0)
    encoder = VisualEncoder(
        EncoderConfig(
            backbone=args.backbone, image_size=args.image_size, resize_size=round(args.image_size * 8 / 7)
        )
    )
    config = ExtractConfig(frame_batch=args.frame_batch, workers=args.workers)
    load = os.getloadavg()[0]
    bench = Bench(manifest, encoder.eval(), config=config, device=args.device)
    rates: dict[str, list[float]] = {}
    bench.encode()  # warm up: kernels are chosen on the first run
    for turn in range(args.repeats):
        figures, result = bench.turn()
        for name, value in figures.items():
            rates.setdefault(name, []).append(value)
        shares = ", ".join(f"{work} {share:.0%}" for work, share in result.shares.items())
        print_line(
            f"{turn + 1}: "
            + ", ".join(f"{name} {value:.2f}" for name, value in figures.items())
            + f" ({shares})"
        )
    report = {
        "machine": f"{platform.processor() or platform.machine()}, {available_cores()} cores",
        "bf16_instructions": bf16_instructions(),
        "dtype": str(resolve_dtype(bench.config.precision, bench.device)),
        "target_of_encoder_gain": 3 if args.device == "cpu" and bf16_instructions() else None,
        "threads": bench.config.threads or default_threads(),
        "workers": bench.config.num_workers,
        "device": args.device,
        "load_average_at_start_and_end": (load, os.getloadavg()[0]),
        "clips": len(bench.manifest.samples),
        "frames": sum(len(frames) for _, frames in bench.frames),
        "backbone": args.backbone,
        "image_size": args.image_size,
        "frame_batch": bench.config.frame_batch,
        **{
            name: {"median": statistics.median(values), "min": min(values), "max": max(values)}
            for name, values in rates.items()
        },
    }
    print(json.dumps(report, indent=2))


if __name__ == "__main__":
    main()
