"""Memory and time of a step of stage one with the backbone in chunks of frames.

    python bench/frame_chunks.py
    python bench/frame_chunks.py --device cuda --side 224 --chunk 100

A step is forward, backward and AdamW of the model of ``fla pretrain`` on clips of 100 frames in memory: in
fp32 on the CPU, in bf16 on a GPU. Both ways are measured in one process.

Bytes on the CPU: every tensor made during the second step is counted from its making until it is freed, plus
weights, gradients, the optimiser's state and the frames. On a GPU the allocator counts, without CUDA's
context. Time: CPU seconds of a step, or seconds on a GPU, without counting, both ways in turns. Median and
range of the ratio are printed.
"""

import argparse
import json
import os
import statistics
import time
from collections.abc import Sequence
from dataclasses import replace

import torch
from loss_memory import PeakBytes
from timed_fit import now
from torch import Tensor

from fla_llm.core.device import resolve_device
from fla_llm.encoder.config import EncoderConfig
from fla_llm.encoder.model import VisualEncoder
from fla_llm.pretrain.config import PretrainConfig
from fla_llm.pretrain.model import StageOneModel
from fla_llm.pretrain.tokenizer import make_tokenizer
from fla_llm.training.batches import move_batch
from fla_llm.training.optimisers import make_optimiser

CLIP_FRAMES = 100
SENTENCE = "am montag regnet es im norden und die sonne scheint im sueden"


class Step:
    """A step of one way, on batches of clips of noise."""

    def __init__(self, *, backbone: str, side: int, chunk: int | None, device: torch.device) -> None:
        base = PretrainConfig()
        encoder = EncoderConfig(backbone=backbone, image_size=side, resize_size=side)
        training = replace(base.training, frame_chunk=chunk)
        tokens = replace(base.tokenizer, vocab_size=60)
        config = replace(base, encoder=encoder, training=training, tokenizer=tokens)
        torch.manual_seed(0)
        model = StageOneModel(VisualEncoder(encoder), make_tokenizer([SENTENCE], tokens), config)
        self.model, self.device = model.train().to(device), device
        self.optimiser = make_optimiser(self.model.parameter_groups(), training)
        self.side, self.labels = side, torch.tensor([self.model.tokenizer.encode(SENTENCE)])

    def batch(self, clips: int) -> dict[str, Tensor]:
        """Return clips of noise with one sentence."""
        frames = torch.randint(256, (clips * CLIP_FRAMES, 3, self.side, self.side), dtype=torch.uint8)
        lengths = torch.full((clips,), CLIP_FRAMES)
        labels = self.labels.repeat(clips, 1)
        return move_batch({"frames": frames, "lengths": lengths, "labels": labels}, self.device)

    def run(self, batch: dict[str, Tensor]) -> None:
        """Do a step."""
        with torch.autocast(self.device.type, torch.bfloat16, enabled=self.device.type == "cuda"):
            loss = self.model(**batch)["loss"]
        loss.backward()
        self.optimiser.step()
        self.optimiser.zero_grad()

    def peak(self, clips: int) -> int:
        """Return the bytes at the fullest moment of the second step."""
        self.run(self.batch(1))  # the optimiser makes its state in the first step
        batch = self.batch(clips)
        state = [t for own in self.optimiser.state.values() for t in own.values() if isinstance(t, Tensor)]
        standing = [*self.model.parameters(), *self.model.buffers(), *state, *batch.values()]
        return sum(tensor.nbytes for tensor in standing) + self.moving(batch)

    def moving(self, batch: dict[str, Tensor]) -> int:
        """Return the most bytes that exist for a step alone."""
        if self.device.type == "cuda":
            torch.cuda.reset_peak_memory_stats()
            before = torch.cuda.memory_allocated()
            self.run(batch)
            return torch.cuda.max_memory_allocated() - before
        with PeakBytes() as counter:
            self.run(batch)
        return counter.peak

    def seconds(self, batch: dict[str, Tensor]) -> float:
        """Return the CPU seconds of a step, or the seconds on a GPU."""
        start = self.clock()
        self.run(batch)
        return self.clock() - start

    def clock(self) -> float:
        """Return the CPU seconds of this process, or the time when the GPU has done its work."""
        return time.process_time() if self.device.type == "cpu" else now(self.device)


def spread(values: Sequence[float], digits: int = 2) -> str:
    """Return the median and the range."""
    return f"{statistics.median(values):.{digits}f} ({min(values):.{digits}f} to {max(values):.{digits}f})"


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--backbone", default="resnet18")
    parser.add_argument("--side", type=int, default=64, help="of the pictures, in pixels")
    parser.add_argument("--chunk", type=int, default=50)
    parser.add_argument("--clips", type=int, nargs="+", default=[1, 10])
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument("--device", default="cpu")
    arguments = parser.parse_args()
    threads, load = torch.get_num_threads(), os.getloadavg()
    print(json.dumps({**vars(arguments), "threads": threads, "load_average": load}), flush=True)
    device = resolve_device(arguments.device)
    shape = {"backbone": arguments.backbone, "side": arguments.side, "device": device}
    ways = {"whole": Step(**shape, chunk=None), "in chunks": Step(**shape, chunk=arguments.chunk)}
    print("| frames | peak, whole | peak, in chunks | time, in chunks / whole |\n|---|---|---|---|")
    for clips in arguments.clips:
        peaks = {name: way.peak(clips) / 2**20 for name, way in ways.items()}
        batch = ways["whole"].batch(clips)
        ratios = [
            ways["in chunks"].seconds(batch) / ways["whole"].seconds(batch) for _ in range(arguments.repeats)
        ]
        cells = [f"{clips * CLIP_FRAMES}", *(f"{peak:.0f} MiB" for peak in peaks.values())]
        cells.append(spread(ratios) if ratios else "-")
        print("| " + " | ".join(cells) + " |", flush=True)


if __name__ == "__main__":
    main()
