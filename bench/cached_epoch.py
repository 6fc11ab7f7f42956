"""Time of an epoch on cached features and of one with the encoder: python bench/cached_epoch.py [options].

What the cache is for. The same language model is trained for an epoch on the same clips, from the same
weights: once on features read from a cache, once with the frozen encoder run over the videos as their batches
come. That one is as quick as we know how: processes decode ahead while the encoder computes, and the encoder
sees the same B frames at once, in the same number format, clips of several batches packed together, as in
``fla extract``. In turns, in one process; features of both ways must be equal, on a CPU to the last bit, and
so must be where the weights end. The cache is extracted once, before: ``epochs_to_pay`` is after how many
epochs that has been made up for.

Videos are those of --videos DIR, else clips of the demo corpus. Encoder and language model are random: their
speed is that of trained ones.
"""

import argparse
import json
import os
import platform
import tempfile
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from cache_reading import spread
from extract_speed import read_source
from timed_fit import check_same_work, timed_fit, trained

from fla_llm.core.device import resolve_device, resolve_dtype
from fla_llm.core.streams import print_line
from fla_llm.corpora.manifest import Manifest
from fla_llm.demo.config import SmallLlmConfig
from fla_llm.demo.corpus import DemoConfig, demo_text, write_demo_corpus
from fla_llm.demo.small_llm import make_small_llm
from fla_llm.encoder.config import EncoderConfig
from fla_llm.encoder.encode import encode
from fla_llm.encoder.model import VisualEncoder
from fla_llm.encoder.store import fingerprint_of
from fla_llm.extract.clips import ClipDataset
from fla_llm.extract.config import ExtractConfig
from fla_llm.extract.decode_ahead import decode_ahead
from fla_llm.extract.extraction import extract
from fla_llm.extract.plan import Extraction
from fla_llm.extract.views import View
from fla_llm.finetune.batching import TrainBatches
from fla_llm.finetune.config import TuneConfig
from fla_llm.finetune.data import FeatureItems, open_caches
from fla_llm.finetune.train import build_model
from fla_llm.training.batches import BatchDataset, EpochOrder

SEED = 0


class LiveBatches(BatchDataset):
    """Batches of a cache with features that are computed from the videos at each request."""

    def __init__(
        self, cached: BatchDataset, features: Iterator[tuple[str, np.ndarray]], *, exact: bool
    ) -> None:
        """Take features from ``features`` in training order, and compare each with the cache."""
        super().__init__(cached.items, cached.batches, cached.collate)
        self.features, self.exact = features, exact

    def __getitem__(self, index: int) -> dict[str, Any]:
        return self.collate([self._live(self.items.get(item, self.epoch)) for item in self.batches[index]])

    def _live(self, cached: dict[str, Any]) -> dict[str, Any]:
        id, features = next(self.features)
        assert id == cached["id"], f"clip {cached['id']} is trained on, but {id} was encoded"
        np.testing.assert_allclose(
            features, cached["features"], rtol=0 if self.exact else 1e-2, atol=0 if self.exact else 1e-2
        )
        return cached | {"features": features}


class Bench:
    """Corpus, encoder and language model, with two ways to train an epoch."""

    def __init__(self, manifest: Manifest, folder: Path, *, args: argparse.Namespace) -> None:
        self.device = resolve_device(args.device)
        self.config = ExtractConfig(frame_batch=args.frame_batch, precision=args.precision)
        torch.set_num_threads(self.config.num_threads)
        self.dtype = resolve_dtype(args.precision, self.device)
        torch.manual_seed(SEED)
        sizes = {"image_size": args.image_size, "resize_size": round(args.image_size * 8 / 7)}
        self.encoder = VisualEncoder(EncoderConfig(backbone=args.backbone, **sizes)).eval()
        self.manifest = manifest
        self.extraction_seconds = self._extract(folder / "cache")
        items = FeatureItems(open_caches([folder / "cache"], "train"), view_seed=SEED)
        shape = SmallLlmConfig(hidden_size=args.hidden_size, layers=args.layers, steps=1)
        sentences = [*items.texts, *demo_text(count=200, seed=SEED, exclude=())]
        llm = make_small_llm(sentences, folder / "llm", config=shape, device=args.device)
        self.model = build_model(items, llm=str(llm), config=settings(args), device=self.device)
        self.batches = TrainBatches(self.model, items)
        self.start = {name: tensor.clone() for name, tensor in self.model.checkpoint_state().items()}
        self.origin = trained(self.model)

    def cached(self) -> float:
        """Return the seconds of an epoch on cached features."""
        self.model.load_checkpoint_state(self.start)
        return timed_fit(self.model, self.batches, seed=SEED)

    def live(self) -> float:
        """Return the seconds of an epoch with the encoder running."""
        self.model.load_checkpoint_state(self.start)
        order = [
            item for batch in EpochOrder(self.batches, seed=SEED) for item in self.batches.batches[batch]
        ]
        named = {sample.id: sample for sample in self.manifest.samples}
        views = [View(sample=named[self.batches.items.get(item, 0)["id"]]) for item in order]
        clips = ClipDataset(self.manifest, views, config=self.encoder.config, extraction=self.config)
        ids = [view.sample.id for view in views]
        with decode_ahead(clips, workers=self.config.num_workers) as decoded:
            frames = ((number, clip) for number, clip in decoded if not isinstance(clip, str))
            features = ((ids[number], array) for number, array in self._encoded(frames))
            batches = LiveBatches(self.batches, features, exact=self.device.type == "cpu")
            return timed_fit(self.model, batches, seed=SEED)

    def _encoded(self, frames: Iterator[tuple[int, np.ndarray]]) -> Iterator[tuple[int, np.ndarray]]:
        return encode(
            self.encoder, frames, frame_batch=self.config.frame_batch or 0, level="sign", device=self.device,
            dtype=self.dtype,
        )  # fmt: skip

    def _extract(self, out: Path) -> float:
        begin = time.perf_counter()
        extraction = Extraction(
            manifest=self.manifest, encoder=self.encoder, fingerprint=fingerprint_of(self.encoder), out=out,
            config=self.config, device=self.device,
        )  # fmt: skip
        extract(extraction)
        return time.perf_counter() - begin


def settings(args: argparse.Namespace) -> TuneConfig:
    base = TuneConfig(quantise=args.quantise)
    training = replace(
        base.training, epochs=1, batch_clips=args.batch_clips, precision=args.precision, select="last",
        warmup_share=0.0,  # of a single step it would be the whole: nothing would be learnt
    )  # fmt: skip
    return replace(base, training=training)


def measure(bench: Bench, *, rounds: int) -> dict[str, list[float]]:
    """Return the seconds of an epoch in both ways, and the ratio, for each round."""
    figures: dict[str, list[float]] = {}
    bench.cached()  # the first of all chooses kernels and fills caches
    for turn in range(1, rounds + 1):
        cached = bench.cached()
        weights = trained(bench.model)
        live = bench.live()
        check_same_work(weights, trained(bench.model), start=bench.origin)
        for name, value in {
            "cached_epoch_seconds": cached,
            "live_epoch_seconds": live,
            "ratio": live / cached,
            "epochs_to_pay": bench.extraction_seconds / (live - cached),
        }.items():
            figures.setdefault(name, []).append(value)
        print_line(f"{turn}: " + ", ".join(f"{name} {values[-1]:.4g}" for name, values in figures.items()))
    return figures


def corpus(args: argparse.Namespace, folder: Path) -> Manifest:
    """Return the clips of --videos, or of the demo corpus, all in train."""
    if args.videos is None:
        size = DemoConfig(
            train_clips=args.limit, single_sign_clips=0, dev_clips=0, test_clips=0, image_size=args.image_size
        )
        return write_demo_corpus(folder / "corpus", config=size, seed=SEED, workers=1)
    return read_source(args.videos, args.limit)


def parse_args() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--videos", type=Path, help="a folder of videos  [clips of the demo corpus]")
    parser.add_argument("--limit", type=int, default=24, help="clips")
    parser.add_argument("--backbone", default="resnet18")
    parser.add_argument("--image-size", type=int, default=112)
    parser.add_argument("--frame-batch", type=int, default=32, help="B")
    parser.add_argument("--hidden-size", type=int, default=256)
    parser.add_argument("--layers", type=int, default=4)
    parser.add_argument("--batch-clips", type=int, default=8)
    parser.add_argument("--quantise", default="nf4")
    parser.add_argument("--precision", default="auto", choices=("auto", "bf16", "fp32"))
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--rounds", type=int, default=5)
    return parser.parse_args()


def main() -> None:
    args = parse_args()
    load = os.getloadavg()[0]
    with tempfile.TemporaryDirectory() as name:
        bench = Bench(corpus(args, Path(name)), Path(name), args=args)
        figures = measure(bench, rounds=args.rounds)
    report = {
        "machine": f"{platform.processor() or platform.machine()}, {os.cpu_count()} cores",
        "threads": torch.get_num_threads(),
        "dtype": str(bench.dtype),
        "load_average_at_start_and_end": (load, os.getloadavg()[0]),
        **{name: str(value) for name, value in vars(args).items() if name != "rounds"},
        "clips": len(bench.manifest.samples),
        "frames_in_the_videos": sum(sample.num_frames for sample in bench.manifest.samples),
        "extraction_seconds": bench.extraction_seconds,
        **{name: spread(values) for name, values in figures.items()},
    }
    print(json.dumps(report, indent=2))


if __name__ == "__main__":
    main()
