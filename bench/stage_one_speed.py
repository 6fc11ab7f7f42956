"""Speed of `fla pretrain` compared with its bare backbone: python bench/stage_one_speed.py [options].

The engine of ``fla pretrain`` trains on generated clips whose frames are kept in memory:
augmentation, batches by worker processes, temporal module, light translation model, clipping, AdamW, log.
The bare loop runs forward and backward of the backbone alone over the same number of frames in batches of the
same size, on pixels that are normalised already. In turns, in one process, after a round that is not counted.

``ratio`` is bare seconds / engine seconds. The engine's seconds are those of log.jsonl (``speed``), without
building the optimiser and writing the checkpoint. ``--clock cpu`` counts CPU seconds of the training process,
which other work on the machine changes less than the wall clock. With ``--device cuda`` both ways compute in
bf16, and the clock is the wall's.
"""

import argparse
import json
import os
import statistics
import tempfile
import time
from collections.abc import Callable
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any
from unittest.mock import patch

import av
import numpy as np
import torch
from timed_fit import now

from fla_llm.core.device import resolve_device, resolve_dtype
from fla_llm.core.sample import Sample
from fla_llm.corpora.manifest import Manifest
from fla_llm.encoder.config import EncoderConfig
from fla_llm.pretrain.config import PretrainConfig
from fla_llm.pretrain.data import TrainingClips, training_batches
from fla_llm.pretrain.frames import FrameStore
from fla_llm.pretrain.train import build_model
from fla_llm.training import trainer
from fla_llm.training.pace import Pace
from fla_llm.training.train_loop import fit
from fla_llm.video.sampling import FrameSampling

SENTENCE = "am montag regnet es im norden"
RATE = 25
Clock = Callable[[], float]
CLOCKS: dict[str, Clock] = {"cpu": time.process_time, "wall": time.perf_counter}


def write_corpus(root: Path, *, clips: int, frames: int, side: int) -> Manifest:
    """Write clips of noise that moves, and return their manifest."""
    noise = np.random.default_rng(0)
    samples = []
    for number in range(clips):
        with av.open(str(root / f"{number}.mp4"), "w") as container:
            stream = container.add_stream("libx264", rate=RATE)
            stream.width = stream.height = side
            stream.pix_fmt = "yuv420p"
            picture = noise.integers(0, 256, (side, side, 3), dtype=np.uint8)
            for turn in range(frames):
                moved = av.VideoFrame.from_ndarray(np.roll(picture, turn, axis=1), format="rgb24")
                container.mux(stream.encode(moved))
            container.mux(stream.encode())
        samples.append(
            Sample(
                id=str(number), split="train", video=f"{number}.mp4", text=SENTENCE, language="de",
                num_frames=frames, fps=float(RATE),
            )
        )  # fmt: skip
    return Manifest(corpus="noise", root=root, samples=tuple(samples))


def settings(arguments: argparse.Namespace) -> PretrainConfig:
    base = PretrainConfig()
    encoder = EncoderConfig(
        backbone=arguments.backbone, image_size=arguments.side, resize_size=arguments.side,
        sampling=FrameSampling(stride=1, max_frames=arguments.frames),
    )  # fmt: skip
    training = replace(
        base.training, epochs=arguments.epochs, batch_clips=arguments.batch_clips, batch_steps=10**6,
        select="last", precision="fp32" if arguments.device == "cpu" else "auto",
        workers=arguments.workers, frame_chunk=arguments.frame_chunk, compile=arguments.compile,
        log_every_steps=10**6,  # at the end of each epoch alone
    )  # fmt: skip
    tokens = replace(base.tokenizer, vocab_size=60)
    return replace(base, encoder=encoder, training=training, tokenizer=tokens, keep_frames_gib=8.0)


def engine(
    manifest: Manifest, config: PretrainConfig, store: FrameStore, *, clock: Clock, device: torch.device
) -> dict[str, float]:
    """Train, and return the speed of the last epoch in the log."""
    samples = manifest.split("train")
    model = build_model(samples, config)
    clips = TrainingClips(samples, store=store, tokenizer=model.tokenizer, config=config)
    with tempfile.TemporaryDirectory() as run, patch.object(trainer, "Pace", partial(Pace, clock=clock)):
        fit(
            model, train=training_batches(clips), dev=None, config=config.training, decoding=config.decoding,
            run=Path(run), resume=False, seed=0, device=device,
        )  # fmt: skip
        rows = [json.loads(line) for line in (Path(run) / "log.jsonl").read_text().splitlines()]
    return [row["speed"] for row in rows if "speed" in row][-1]


def bare(
    manifest: Manifest, config: PretrainConfig, *, frames: int, clock: Clock, device: torch.device
) -> float:
    """Run the backbone alone over as many frames, and return the frames per second."""
    encoder = build_model(manifest.split("train"), config).encoder.train().to(device)
    shape = (config.training.batch_clips * frames, 3, config.encoder.image_size, config.encoder.image_size)
    pixels = torch.randn(shape).to(device, memory_format=torch.channels_last)
    dtype = resolve_dtype(config.training.precision, device)
    now(device)
    start = clock()
    for _ in range(len(manifest.samples) // config.training.batch_clips):
        with torch.autocast(device.type, dtype, enabled=dtype != torch.float32):
            loss = encoder.backbone(pixels).square().mean()
        loss.backward()
        encoder.zero_grad()
    now(device)  # kernels run on after the call returns
    return len(manifest.samples) * frames / (clock() - start)


def spread(values: list[float]) -> dict[str, float]:
    """Return median and range."""
    return {"median": statistics.median(values), "lowest": min(values), "highest": max(values)}


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--backbone", default="resnet18")
    parser.add_argument("--side", type=int, default=112)
    parser.add_argument("--clips", type=int, default=8)
    parser.add_argument("--frames", type=int, default=40)
    parser.add_argument(
        "--epochs", type=int, default=1, help="the last is measured; the first starts workers"
    )
    parser.add_argument("--batch-clips", type=int, default=4)
    parser.add_argument("--workers", type=int, default=1)
    parser.add_argument("--frame-chunk", type=int)
    parser.add_argument("--compile", action="store_true")
    parser.add_argument("--clock", choices=CLOCKS, default="cpu")
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--rounds", type=int, default=3)
    arguments = parser.parse_args()
    config, load, device = settings(arguments), os.getloadavg(), resolve_device(arguments.device)
    clock = CLOCKS[arguments.clock if device.type == "cpu" else "wall"]
    found: dict[str, list[float]] = {"ratio": [], "waiting_share": [], "frames_per_second": []}
    with tempfile.TemporaryDirectory() as root:
        manifest = write_corpus(
            Path(root), clips=arguments.clips, frames=arguments.frames, side=arguments.side
        )
        store = FrameStore(manifest, config.encoder, workers=config.training.workers)
        store.keep(manifest.split("train"), phases=(0,), gib=config.keep_frames_gib)
        for turn in range(arguments.rounds + 1):
            ours = engine(manifest, config, store, clock=clock, device=device)
            theirs = bare(manifest, config, frames=arguments.frames, clock=clock, device=device)
            if turn:  # the first round chooses kernels and fills caches
                found["ratio"].append(ours["frames_per_second"] / theirs)
                found["waiting_share"].append(ours["waiting_share"])
                found["frames_per_second"].append(ours["frames_per_second"])
    report: dict[str, Any] = {**vars(arguments), "threads": torch.get_num_threads(), "load_average": load}
    print(json.dumps(report | {name: spread(values) for name, values in found.items()}, indent=2))


if __name__ == "__main__":
    main()
