"""Speed of reading clips from a feature cache: python bench/cache_reading.py [options].

Clips are read once each in random order, as training does, in four ways, in turn and several times over,
in one process: FeatureCache, FeatureCache through HDF5 alone as from a network disk, numpy.load of a
file per clip, and copying arrays that are in memory already. FeatureCache is opened for each turn: in the
first epoch it looks up where each clip lies, and in the second it knows. The file system's cache is warm in
all. Lengths are about those of PHOENIX-2014T, 116 frames on average, with a step every four; the numbers are
random. Then a cache of many tiny clips is opened, several times.
"""

import argparse
import json
import os
import platform
import statistics
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from unittest.mock import patch

import numpy as np

from fla_llm.cache import CacheRow, FeatureCache, Provenance, ShardWriter
from fla_llm.cache import reader as reader_module
from fla_llm.core.streams import print_line

Read = Callable[[int], np.ndarray]
STRIDE = 4
MEAN_FRAMES, SHORTEST, LONGEST = 116, 16, 475


def lengths(clips: int) -> list[int]:
    """Return the steps of each clip: gamma-distributed frames, with a step every four."""
    frames = np.random.default_rng(0).gamma(5.0, MEAN_FRAMES / 5.0, clips).clip(SHORTEST, LONGEST)
    return np.ceil(frames / STRIDE).astype(int).tolist()


def features(steps: Sequence[int], *, width: int) -> Iterator[np.ndarray]:
    generator = np.random.default_rng(1)
    for count in steps:
        yield generator.standard_normal((count, width), dtype=np.float32).astype(np.float16)


def write_cache(
    folder: Path, steps: Sequence[int], *, width: int, texts: Sequence[str] | None = None
) -> None:
    sentences = texts or [f"Satz {n} vom Wetter" for n in range(len(steps))]
    made_by = Provenance(
        encoder_fingerprint="none", encoder_config={}, level="sign", preprocessing={}, frame_batch=1,
        compute_dtype="float32", device_kind="cpu", corpus="bench", split="train", feature_size=width,
        step_seconds=STRIDE / 25, versions={},
    )  # fmt: skip
    rows = [
        CacheRow(id=f"train/{n}", text=text, language="de", signer="", num_frames=t * STRIDE)
        for n, (t, text) in enumerate(zip(steps, sentences, strict=True))
    ]
    place = {"split": "train", "index": 0, "count": 1}
    with ShardWriter(folder, **place, rows=rows, provenance=made_by) as writer:
        for row, array in zip(rows, features(steps, width=width), strict=True):
            writer.append(row, array)
        writer.finish()


class Clips:
    """Clips in three storage formats."""

    def __init__(self, folder: Path, steps: Sequence[int], *, width: int) -> None:
        self.count = len(steps)
        self.size_bytes = 2 * width * sum(steps)
        self._folder = folder
        write_cache(folder / "cache", steps, width=width)
        (folder / "npy").mkdir()
        self._arrays = list(features(steps, width=width))
        for number, array in enumerate(self._arrays):
            np.save(folder / "npy" / f"{number}.npy", array)

    def feature_cache(self) -> Read:
        return FeatureCache(self._folder / "cache").__getitem__

    def hdf5_alone(self) -> Read:
        cache = FeatureCache(self._folder / "cache")
        with patch.object(reader_module, "is_local", lambda path: False):
            cache[0]  # the shard is opened here
        return cache.__getitem__

    def numpy_load(self) -> Read:
        names = [f"{self._folder}/npy/{number}.npy" for number in range(self.count)]
        return lambda number: np.load(names[number])

    def memory(self) -> Read:
        return lambda number: self._arrays[number].copy()


def clips_per_second(read: Read, count: int, *, seed: int) -> float:
    order = np.random.default_rng(seed).permutation(count).tolist()
    begin = time.perf_counter()
    for number in order:
        read(number)
    return count / (time.perf_counter() - begin)


def measure(clips: Clips, *, repeats: int) -> dict[str, list[float]]:
    """Return clips per second of each way in each turn."""
    rates: dict[str, list[float]] = {}
    for turn in range(repeats):
        for way in (clips.feature_cache, clips.hdf5_alone, clips.numpy_load, clips.memory):
            read = way()
            for epoch in ("first epoch", "second epoch"):
                rate = clips_per_second(read, clips.count, seed=turn)
                rates.setdefault(f"{way.__name__}, {epoch}", []).append(rate)
        print_line(
            f"turn {turn + 1}: " + ", ".join(f"{name} {values[-1]:.0f}" for name, values in rates.items())
        )
    return rates


def opening_seconds(folder: Path, count: int, *, repeats: int) -> list[float]:
    """Return the seconds to open a cache of ``count`` clips of a single step."""
    write_cache(folder, [1] * count, width=8)
    seconds = []
    for _ in range(repeats):
        begin = time.perf_counter()
        FeatureCache(folder)
        seconds.append(time.perf_counter() - begin)
    return seconds


def spread(values: Sequence[float]) -> dict[str, float]:
    return {"median": statistics.median(values), "min": min(values), "max": max(values)}


def parse_args() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--clips", type=int, default=5000)
    parser.add_argument("--width", type=int, default=512, help="D")
    parser.add_argument("--many", type=int, default=10_000, help="clips of the cache that is only opened")
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument("--folder", type=Path, help="where to write, 300 MB by default  [a temporary one]")
    return parser.parse_args()


def main() -> None:
    args = parse_args()
    load = os.getloadavg()[0]
    with tempfile.TemporaryDirectory(dir=args.folder) as name:
        clips = Clips(Path(name), lengths(args.clips), width=args.width)
        rates = measure(clips, repeats=args.repeats)
        seconds = opening_seconds(Path(name) / "many", args.many, repeats=args.repeats)
    mega = clips.size_bytes / clips.count / 1e6
    report = {
        "machine": f"{platform.processor() or platform.machine()}, {os.cpu_count()} cores",
        "load_average_at_start": load,
        "load_average_at_end": os.getloadavg()[0],
        "clips": clips.count,
        "width": args.width,
        "size_bytes": clips.size_bytes,
        "clips_per_second": {name: spread(values) for name, values in rates.items()},
        "mb_per_second": {name: spread([mega * v for v in values]) for name, values in rates.items()},
        "opening": {"clips": args.many, "seconds": spread(seconds)},
    }
    print(json.dumps(report, indent=2))


if __name__ == "__main__":
    main()
