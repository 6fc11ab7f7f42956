"""Frames per second of an encoder of poses.

    python bench/pose_speed.py [--width 256 64] [--network flat] [--threads 2]

Reading (a pickle as Uni-Sign publishes it, parsed and normalised) and encoding are timed apart, each with the
best of three passes over the same clips. Clips have random key points: the work does not depend on them.
Frames per CPU second count the time of all threads of this process: other work on the machine hardly changes
them, as it changes frames per second.
"""

import argparse
import pickle
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import torch

from fla_llm.encoder.config import EncoderConfig, PoseConfig
from fla_llm.encoder.encode import encode
from fla_llm.encoder.pose_clips import read_normalised
from fla_llm.encoder.pose_encoder import PoseEncoder

HIDDEN_SIZE = 768


def write_clips(folder: Path, *, clips: int, frames: int) -> list[Path]:
    """Write pose files with key points in float64 and scores in float32, as RTMPose gives them."""
    rng = np.random.default_rng(0)
    paths = []
    for number in range(clips):
        points, scores = rng.uniform(0, 1, (frames, 1, 133, 2)), rng.uniform(0, 1, (frames, 1, 133))
        paths.append(folder / f"{number}.pkl")
        content = {"keypoints": list(points), "scores": list(scores.astype("f4"))}
        paths[-1].write_bytes(pickle.dumps(content))
    return paths


def speed(work: Callable[[], object], *, frames: int) -> str:
    """Return frames per second and per CPU second, each of the fastest of three passes."""
    seconds, cpu_seconds = [], []
    for _ in range(3):
        begin, cpu_begin = time.perf_counter(), time.process_time()
        work()
        seconds.append(time.perf_counter() - begin)
        cpu_seconds.append(time.process_time() - cpu_begin)
    return f"{frames / min(seconds):.0f} frames/s, {frames / min(cpu_seconds):.0f} per CPU second"


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--width", type=int, nargs="+", default=[256, 64])
    parser.add_argument("--network", choices=["graph", "flat"], default="graph")
    parser.add_argument("--clips", type=int, default=16)
    parser.add_argument("--frames", type=int, default=120)
    parser.add_argument("--threads", type=int, default=torch.get_num_threads())
    parser.add_argument("--device", default="cpu")
    args = parser.parse_args()
    torch.set_num_threads(args.threads)
    total, config = args.clips * args.frames, PoseConfig()
    with tempfile.TemporaryDirectory() as folder:
        paths = write_clips(Path(folder), clips=args.clips, frames=args.frames)
        reading = speed(lambda: [read_normalised(path, config=config) for path in paths], frames=total)
        clips = [(n, read_normalised(path, config=config)) for n, path in enumerate(paths)]
    print(f"read and normalise, one process: {reading}", flush=True)
    for width in args.width:
        network = PoseConfig(width=width, network=args.network)
        encoder = PoseEncoder(EncoderConfig(kind="poses", hidden_size=HIDDEN_SIZE, poses=network))
        device = torch.device(args.device)
        settings = {"frame_batch": 32, "level": "sign", "device": device, "dtype": torch.float32}
        encoding = speed(lambda e=encoder, s=settings: list(encode(e, clips, **s)), frames=total)
        print(f"{args.network}, width {width}, {args.device}, {args.threads} threads: {encoding}", flush=True)


if __name__ == "__main__":
    main()
