"""Memory and time of a step of stage one with the backbone in chunks of frames.

    python bench/frame_chunks.py

A step is forward, backward and AdamW of the model of ``fla pretrain`` on clips of 100 frames in memory, in
fp32 on the CPU. Both ways are measured in one process.

Bytes: every tensor made during the second step is counted from its making until it is freed, plus weights,
gradients, the optimiser's state and the frames. The peak is taken. Time: CPU seconds of a step without
counting, both ways in turns. Median and range of the ratio are printed.
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
from torch import Tensor

from fla_llm.encoder.config import EncoderConfig
from fla_llm.encoder.model import VisualEncoder
from fla_llm.pretrain.config import PretrainConfig
from fla_llm.pretrain.model import StageOneModel
from fla_llm.pretrain.tokenizer import make_tokenizer
from fla_llm.training.optimisers import make_optimiser

CLIP_FRAMES = 100
SENTENCE = "am montag regnet es im norden und die sonne scheint im sueden"


class Step:
    """A step of one way, on batches of clips of noise."""

    def __init__(self, *, backbone: str, side: int, chunk: int | None) -> None:
        base = PretrainConfig()
        encoder = EncoderConfig(backbone=backbone, image_size=side, resize_size=side)
        training = replace(base.training, frame_chunk=chunk)
        tokens = replace(base.tokenizer, vocab_size=60)
        config = replace(base, encoder=encoder, training=training, tokenizer=tokens)
        torch.manual_seed(0)
        self.model = StageOneModel(VisualEncoder(encoder), make_tokenizer([SENTENCE], tokens), config).train()
        self.optimiser = make_optimiser(self.model.parameter_groups(), training)
        self.side, self.labels = side, torch.tensor([self.model.tokenizer.encode(SENTENCE)])

    def batch(self, clips: int) -> dict[str, Tensor]:
        """Return clips of noise with one sentence."""
        frames = torch.randint(256, (clips * CLIP_FRAMES, 3, self.side, self.side), dtype=torch.uint8)
        lengths = torch.full((clips,), CLIP_FRAMES)
        return {"frames": frames, "lengths": lengths, "labels": self.labels.repeat(clips, 1)}

    def run(self, batch: dict[str, Tensor]) -> None:
        """Do a step."""
        self.model(**batch)["loss"].backward()
        self.optimiser.step()
        self.optimiser.zero_grad()

    def peak(self, clips: int) -> int:
        """Return the bytes at the fullest moment of the second step."""
        self.run(self.batch(1))  # the optimiser makes its state in the first step
        batch = self.batch(clips)
        state = [t for own in self.optimiser.state.values() for t in own.values() if isinstance(t, Tensor)]
        standing = [*self.model.parameters(), *self.model.buffers(), *state, *batch.values()]
        with PeakBytes() as counter:
            self.run(batch)
        return counter.peak + sum(tensor.nbytes for tensor in standing)

    def seconds(self, batch: dict[str, Tensor]) -> float:
        """Return the CPU seconds of a step."""
        start = time.process_time()
        self.run(batch)
        return time.process_time() - start


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
    arguments = parser.parse_args()
    threads, load = torch.get_num_threads(), os.getloadavg()
    print(json.dumps({**vars(arguments), "threads": threads, "load_average": load}), flush=True)
    shape = {"backbone": arguments.backbone, "side": arguments.side}
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
