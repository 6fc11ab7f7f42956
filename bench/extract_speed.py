"""How near extraction comes to the speed its parts allow: python bench/extract_speed.py SOURCE [options].

SOURCE is a manifest or a folder of videos. Three things are measured in turn, several times over, all in
frames that reach the encoder per second: D, decoding and transforming alone, on all cores; E, the encoder
alone, on all cores, on frames in memory; and the whole extraction, to a shard on disk. Were nothing lost,
the whole would run at 1 / (1/D + 1/E) on a CPU; printed is the share of it that is reached. (With a GPU
the two overlap: there the bound is the smaller of D and E.)

The encoder has random weights: its speed is that of a trained one.
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

from fla_llm.core.device import resolve_device, resolve_dtype
from fla_llm.core.progress import say
from fla_llm.core.sample import Sample
from fla_llm.corpora.manifest import Manifest, is_manifest, read_manifest
from fla_llm.encoder.config import EncoderConfig
from fla_llm.encoder.encode import encode
from fla_llm.encoder.model import VisualEncoder
from fla_llm.encoder.store import fingerprint_of
from fla_llm.extract.clips import ClipDataset, ClipStream
from fla_llm.extract.config import ExtractConfig
from fla_llm.extract.extraction import extract
from fla_llm.extract.result import Extracted
from fla_llm.extract.views import View
from fla_llm.video import Clip, probe

VIDEO_SUFFIXES = {".mp4", ".mkv", ".webm", ".mov", ".avi"}


class Bench:
    """One corpus, one encoder, one configuration."""

    def __init__(
        self, manifest: Manifest, encoder: VisualEncoder, *, config: ExtractConfig, device: str
    ) -> None:
        self.manifest = replace(manifest, samples=tuple(replace(s, split="train") for s in manifest.samples))
        self.encoder = encoder
        self.config = config
        self.device = resolve_device(device)
        self.frames = list(self._decode(workers=config.num_workers))

    def decode(self) -> float:
        """Return the rate D: decoding and transforming alone, by a process a core."""
        cores = os.cpu_count() or 1
        return _rate(lambda: sum(len(frames) for _, frames in self._decode(workers=cores)))

    def encode(self) -> float:
        """Return the rate E: the encoder alone, on decoded frames."""
        return _rate(lambda: sum(len(features) for _, features in self._encode()))

    def whole(self) -> tuple[float, Extracted]:
        """Return the rate of the whole extraction, and what it says of itself."""
        with tempfile.TemporaryDirectory() as folder:
            begin = time.perf_counter()
            result = extract(
                self.manifest,
                encoder=self.encoder,
                fingerprint=fingerprint_of(self.encoder),
                out=Path(folder),
                config=self.config,
                device=self.device,
            )
            return result.frames / (time.perf_counter() - begin), result

    def _decode(self, *, workers: int) -> Iterator[tuple[int, np.ndarray]]:
        views = [View(sample=sample) for sample in self.manifest.samples]
        clips = ClipDataset(self.manifest, views, config=self.encoder.config, extraction=ExtractConfig())
        return ClipStream(clips, workers=workers, result=Extracted()).frames(filler=0)

    def _encode(self) -> Iterator[tuple[int, np.ndarray]]:
        return encode(
            self.encoder,
            self.frames,
            frame_batch=self.config.frame_batch,
            level="sign",
            device=self.device,
            dtype=resolve_dtype(self.config.precision, self.device),
        )


def _rate(work: Callable[[], int]) -> float:
    begin = time.perf_counter()
    return work() / (time.perf_counter() - begin)


def read_source(source: Path, limit: int | None) -> Manifest:
    """Return a manifest, or one made of the videos in a folder."""
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


def parse_args() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("source", type=Path, help="a manifest or a folder of videos")
    parser.add_argument("--backbone", default="resnet18")
    parser.add_argument("--image-size", type=int, default=112)
    parser.add_argument("--frame-batch", type=int, default=ExtractConfig().frame_batch)
    parser.add_argument("--workers", type=int, help="default: as in fla extract")
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--limit", type=int, help="only the first N videos")
    parser.add_argument("--repeats", type=int, default=5)
    return parser.parse_args()


def main() -> None:
    args = parse_args()
    torch.manual_seed(0)
    encoder = VisualEncoder(
        EncoderConfig(
            backbone=args.backbone, image_size=args.image_size, resize_size=round(args.image_size * 8 / 7)
        )
    )
    config = ExtractConfig(frame_batch=args.frame_batch, workers=args.workers)
    load = os.getloadavg()[0]
    bench = Bench(read_source(args.source, args.limit), encoder.eval(), config=config, device=args.device)
    rates: dict[str, list[float]] = {"D": [], "E": [], "whole": [], "ratio": []}
    bench.encode()  # warm up: kernels are chosen on the first run
    for turn in range(args.repeats):
        decoded, encoded, (whole, result) = bench.decode(), bench.encode(), bench.whole()
        ratio = whole * (1 / decoded + 1 / encoded)
        for name, value in zip(rates, (decoded, encoded, whole, ratio), strict=True):
            rates[name].append(value)
        shares = ", ".join(f"{work} {share:.0%}" for work, share in result.shares.items())
        say(f"{turn + 1}: D {decoded:.0f}, E {encoded:.0f}, whole {whole:.0f}, ratio {ratio:.2f} ({shares})")
    report = {
        "machine": f"{platform.processor() or platform.machine()}, {os.cpu_count()} cores",
        "threads": torch.get_num_threads(),
        "workers": config.num_workers,
        "device": args.device,
        "load_average_at_start": load,
        "clips": len(bench.manifest.samples),
        "frames": sum(len(frames) for _, frames in bench.frames),
        "backbone": args.backbone,
        "image_size": args.image_size,
        "frame_batch": args.frame_batch,
        **{
            name: {"median": statistics.median(values), "min": min(values), "max": max(values)}
            for name, values in rates.items()
        },
    }
    print(json.dumps(report, indent=2))


if __name__ == "__main__":
    main()
