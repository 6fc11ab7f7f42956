"""Count what one ``fla extract`` calls: functions, files, own stack depth, and each planning function.

Three counts, each part of the one before: the whole command, from the command line to the printed result,
a shard, from its journal to the finished file, and a clip, from its video to its row in the journal.

::

    python bench/call_counts.py [--functions]

Three shards of nine generated videos are written with a random ``timm:test_resnet``, decoded in the process
that encodes (``workers=0``). Functions of this package count, in all threads. Comprehensions and lambdas
count as part of the function around them.
"""

import argparse
import contextlib
import io
import json
import sys
import tempfile
import threading
from collections import Counter
from collections.abc import Collection
from pathlib import Path
from types import CodeType, FrameType
from typing import Any

import av
import numpy as np

import fla_llm
from fla_llm.cli import fla
from fla_llm.core.sample import Sample
from fla_llm.corpora.manifest import Manifest, write_manifest

ROOT = Path(str(fla_llm.__file__)).resolve().parent
NOT_COUNTED = ("bench", "tests", ".venv")
SHARDS, CLIPS, FRAMES = 3, 9, 24
PLANNING = (
    "settle", "resolve_settings", "plan_shards", "_plan_shard", "check_plans", "check", "read_finished",
    "read_manifest", "fingerprint_of",
)  # fmt: skip
"""Functions that plan; each should run once for each shard, or once in all."""
CLIP = ("Extracted.timed_each", "WriterThread.put", "WriterThread._write")
"""Functions that every clip goes through: decode and encode, hand on, and write in the other thread."""
SHARD = ("_write_shard", *CLIP)


class CallCounter:
    """Counts calls of this package's functions, in all threads."""

    def __init__(self) -> None:
        self.calls: Counter[CodeType] = Counter()
        self.of_shard: set[CodeType] = set()
        self.of_clip: set[CodeType] = set()
        self.deepest: list[str] = []
        self._own: dict[CodeType, bool] = {}

    def __enter__(self) -> "CallCounter":
        threading.setprofile(self._see)
        sys.setprofile(self._see)
        return self

    def __exit__(self, *_: object) -> None:
        sys.setprofile(None)
        threading.setprofile(None)

    def is_own(self, code: CodeType) -> bool:
        """Tell whether code is a function of the package, outside its tests and benchmarks."""
        if code not in self._own:
            path = Path(code.co_filename)
            inside = path.is_relative_to(ROOT) and path.relative_to(ROOT).parts[0] not in (
                "bench",
                "tests",
                ".venv",
            )
            # Class bodies and modules are no functions. A comprehension belongs to the function around it.
            self._own[code] = inside and bool(code.co_flags & 0x2) and not code.co_name.startswith("<")
        return self._own[code]

    def _see(self, frame: FrameType, event: str, _: Any) -> None:
        if event != "call" or not self.is_own(frame.f_code):
            return
        self.calls[frame.f_code] += 1
        stack: list[str] = []
        above: FrameType | None = frame
        while above is not None:
            if self.is_own(above.f_code):
                stack.append(above.f_code.co_qualname)
            above = above.f_back
        for names, found in ((SHARD, self.of_shard), (CLIP, self.of_clip)):
            if not set(names).isdisjoint(stack):
                found.add(frame.f_code)
        if len(stack) > len(self.deepest):
            self.deepest = stack[::-1]


def write_clips(folder: Path) -> Path:
    """Write nine videos like those of the demo corpus and their manifest; return the manifest's path."""
    generator, samples = np.random.default_rng(0), []
    (folder / "videos").mkdir()
    for number in range(CLIPS):
        path = folder / "videos" / f"{number}.mp4"
        with av.open(str(path), "w") as container:
            stream = container.add_stream("libx264", rate=25)
            stream.width, stream.height, stream.pix_fmt = 96, 96, "yuv420p"
            for _ in range(FRAMES):
                picture = generator.integers(0, 256, (96, 96, 3), dtype=np.uint8)
                container.mux(stream.encode(av.VideoFrame.from_ndarray(picture)))
            container.mux(stream.encode())
        samples.append(
            Sample(
                id=f"clip{number}", split="train", video=path.name, text=f"sentence {number}", language="en",
                num_frames=FRAMES, fps=25.0,
            )
        )  # fmt: skip
    manifest = Manifest(corpus="generated", root=folder / "videos", samples=tuple(samples))
    write_manifest(folder / "manifest.jsonl", manifest)
    return folder / "manifest.jsonl"


def count_extract(folder: Path) -> CallCounter:
    """Run one ``fla extract`` in this process and return its counter."""
    arguments = [
        "extract", "--encoder", "timm:test_resnet", "--manifest", str(write_clips(folder)),
        "--out", str(folder / "cache"), "--shards", str(SHARDS), "--device", "cpu", "--json",
    ]  # fmt: skip
    for setting in ("timm.pretrained=false", "timm.image_size=64", "workers=0"):
        arguments += ["--set", setting]
    shown = io.TextIOWrapper(io.BytesIO(), "utf-8")
    with CallCounter() as counter, contextlib.redirect_stdout(shown), contextlib.suppress(SystemExit):
        fla(arguments)
    assert len(list((folder / "cache").glob("*.h5"))) == SHARDS
    return counter


def size_of(calls: Collection[CodeType]) -> dict[str, int]:
    """Return the number of functions and of files that were called."""
    return {"functions": len(calls), "files": len({code.co_filename for code in calls})}


def main() -> None:
    """Print the counts as JSON; with ``--functions`` also each function with its calls."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--functions", action="store_true", help="list every function")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as name:
        counter = count_extract(Path(name))
    names = {code.co_name: calls for code, calls in counter.calls.items()}
    report = {
        "command": size_of(counter.calls),
        "shard": size_of(counter.of_shard),
        "clip": size_of(counter.of_clip),
        "deepest_stack": len(counter.deepest),
        "planning": {name: names[name] for name in PLANNING if name in names},
    }
    print(json.dumps(report, indent=2))
    if options.functions:
        print("deepest:", " > ".join(counter.deepest))
        for code, calls in sorted(counter.calls.items(), key=lambda item: item[0].co_filename):
            way = "clip" if code in counter.of_clip else "shard" if code in counter.of_shard else "command"
            print(f"{Path(code.co_filename).relative_to(ROOT)}:{code.co_qualname} {calls} {way}")


if __name__ == "__main__":
    main()
