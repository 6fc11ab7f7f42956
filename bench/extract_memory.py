"""Peak memory of an extraction, by number and length of clips: python bench/extract_memory.py [--repeats N].

For each case a process of its own extracts folders of generated pictures, 210 x 260, with ResNet-18 at 112
pixels and two workers. Printed are the peaks (resident, MB) of that process and of its largest worker. Only
frames that are kept are held, at most 300 a clip, and a few clips at a time: four times as many clips must
cost nothing, and ten times as long ones no more than their frames on the way.
"""

import argparse
import json
import os
import resource
import subprocess
import sys
import tempfile
from pathlib import Path

import numpy as np
import torch
from PIL import Image

from fla_llm.core.sample import Sample
from fla_llm.corpora.manifest import Manifest
from fla_llm.encoder.config import EncoderConfig
from fla_llm.encoder.model import VisualEncoder
from fla_llm.extract.config import ExtractConfig
from fla_llm.extract.extraction import extract
from fla_llm.extract.plan import Extraction

CASES = ((10, 100), (40, 100), (10, 1000))
"""Number of clips, and frames of each clip."""


def make_clips(root: Path, *, clips: int, frames: int) -> Manifest:
    """Write folders of links to the same 100 pictures."""
    pictures, samples = root / "pictures", []
    pictures.mkdir()
    coarse = np.random.default_rng(0).integers(0, 256, (100, 9, 8, 3), dtype=np.uint8)
    for number, picture in enumerate(coarse):
        Image.fromarray(picture).resize((210, 260), Image.Resampling.BICUBIC).save(pictures / f"{number}.png")
    for clip in range(clips):
        folder = root / f"clip{clip:03}"
        folder.mkdir()
        for frame in range(frames):
            (folder / f"images{frame:04}.png").symlink_to(pictures / f"{frame % 100}.png")
        samples.append(
            Sample(
                id=folder.name, split="train", video=folder.name, text="-", language="de",
                num_frames=frames, fps=25.0,
            )
        )  # fmt: skip
    return Manifest(corpus="pictures", root=root, samples=tuple(samples))


def peak_of(clips: int, frames: int) -> tuple[int, int]:
    """Extract in this process, and return the peaks of this process and of the largest worker, MB."""
    torch.manual_seed(0)
    encoder = VisualEncoder(EncoderConfig(backbone="resnet18", image_size=112, resize_size=128))
    with tempfile.TemporaryDirectory() as folder:
        manifest = make_clips(Path(folder), clips=clips, frames=frames)
        extraction = Extraction(
            manifest=manifest, encoder=encoder, fingerprint="-", out=Path(folder) / "cache",
            config=ExtractConfig(workers=2, frame_batch=32), device=torch.device("cpu"),
        )  # fmt: skip
        extract(extraction)
    whose = (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)
    here, worker = (resource.getrusage(who).ru_maxrss // 1024 for who in whose)
    return here, worker


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--repeats", type=int, default=2)
    parser.add_argument("--case", type=int, nargs=2, help="measure one case in this process: CLIPS FRAMES")
    arguments = parser.parse_args()
    if arguments.case:
        print(json.dumps(peak_of(*arguments.case)))
        return
    peaks: dict[tuple[int, int], list[list[int]]] = {case: [] for case in CASES}
    for case in CASES * arguments.repeats:
        command = [sys.executable, __file__, "--case", *map(str, case)]
        peaks[case].append(json.loads(subprocess.run(command, check=True, stdout=subprocess.PIPE).stdout))
    rows = [
        {"clips": clips, "frames_each": frames, "peak_mb": here, "worker_peak_mb": worker}
        for (clips, frames), measured in peaks.items()
        for here, worker in measured
    ]
    print(json.dumps({"cores": os.cpu_count(), "load": os.getloadavg()[0], "runs": rows}, indent=2))


if __name__ == "__main__":
    main()
