"""Translation clip after clip by a loaded Translator, against encoder and generation alone.

    python bench/translate_latency.py [--clips 6] [--rounds 5] [--device cpu] [--model DIR]

Without --model the parts are small and random: a ResNet-18 as encoder and a Llama of 2 layers. The bare way
calls the encoder's forward pass and the model's search on frames that were read before. The Translator does
the same work behind the opening and decoding of each file, whose seconds are given apart. Both ways take
turns clip by clip in one process, and must say the same sentences. Printed are medians and ranges of the
rounds, by the clock and by the processor's time, which other work on the machine disturbs less, and the ratio
without decoding, which is to be at most 1.15.
"""

import argparse
import json
import os
import statistics
import tempfile
import time
from collections import defaultdict
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from unittest.mock import patch

import numpy as np
import torch

from fla_llm.core.config import load_config
from fla_llm.core.device import resolve_device
from fla_llm.demo.config import SmallLlmConfig
from fla_llm.demo.corpus import DemoConfig, demo_text, write_demo_corpus
from fla_llm.demo.small_llm import make_small_llm
from fla_llm.encoder.config import EncoderConfig
from fla_llm.encoder.encode import BatchEncoder
from fla_llm.encoder.model import VisualEncoder
from fla_llm.encoder.store import fingerprint, load_encoder, save_encoder
from fla_llm.extract.config import ExtractConfig
from fla_llm.extract.extraction import extract
from fla_llm.extract.plan import Extraction
from fla_llm.finetune.config import TuneConfig
from fla_llm.finetune.train import tune
from fla_llm.pipeline.translator import Translator

SEED = 0


def make_model(folder: Path, *, clips: int) -> tuple[Translator, list[Path]]:
    """Return a Translator with untrained parts, and videos."""
    manifest = write_demo_corpus(
        folder / "corpus",
        config=DemoConfig(train_clips=4, single_sign_clips=0, dev_clips=2, test_clips=clips, image_size=128),
        seed=SEED,
    )
    torch.manual_seed(SEED)
    save_encoder(VisualEncoder(EncoderConfig(image_size=112, resize_size=128)), folder / "encoder")
    job = Extraction(
        manifest=manifest, encoder=load_encoder(folder / "encoder"), out=folder / "cache",
        fingerprint=fingerprint(folder / "encoder"), config=ExtractConfig(workers=0),
        device=resolve_device("cpu"),
    )  # fmt: skip
    extract(job)
    sentences = demo_text(count=50, seed=SEED, exclude=set())
    make_small_llm(sentences, folder / "llm", config=SmallLlmConfig(hidden_size=256, layers=2, steps=2))
    config = load_config(
        TuneConfig, base=TuneConfig(),
        overrides=["training.epochs=1", "decoding.max_new_tokens=20", "quantise=none"],
    )  # fmt: skip
    tune(
        [folder / "cache"], llm=str(folder / "llm"), config=config, out=folder / "run", device="cpu", limit=2
    )
    videos = [manifest.clip(sample).path for sample in manifest.split("test")]
    return Translator(folder / "run", ckpt=folder / "encoder", device="cpu"), videos


def bare(translator: Translator, frames: np.ndarray) -> str:
    """Translate frames with calls of the encoder and the model alone."""
    recipe = translator.recipe
    batches = BatchEncoder[int](
        translator.encoder, frame_batch=recipe.frame_batch, level=recipe.level, device=translator.device,
        dtype=recipe.dtype,
    )  # fmt: skip
    [(_, features)] = [*batches.add(0, frames), *batches.finish()]
    batch = translator.batch([features], names=["clip"])
    [text] = translator.model.translate(batch, translator.decoding)
    return text


class Stopwatch:
    """Seconds of the clock and of the processor, for each way."""

    def __init__(self) -> None:
        self.clock: dict[str, float] = defaultdict(float)
        self.cpu: dict[str, float] = defaultdict(float)

    @contextmanager
    def __call__(self, name: str) -> Iterator[None]:
        clock, cpu = time.perf_counter(), time.process_time()
        yield
        self.clock[name] += time.perf_counter() - clock
        self.cpu[name] += time.process_time() - cpu


def measure(translator: Translator, videos: list[Path]) -> Stopwatch:
    """Translate each video in both ways, one after the other, so that both meet the same load."""
    watch, read = Stopwatch(), Translator.frames

    def timed(self: Translator, video: Path, **given: Any) -> np.ndarray:
        with watch("reading"):
            return read(self, video, **given)

    for video in videos:
        frames = read(translator, video)
        with watch("bare"):
            expected = bare(translator, frames)
        with patch.object(Translator, "frames", timed), watch("translator"):
            said = translator(video)
        assert said == expected, "both ways must say the same"
    return watch


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--clips", type=int, default=6)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--model", type=Path, help="A model folder, with --videos.")
    parser.add_argument("--videos", type=Path, nargs="*", default=[])
    parser.add_argument("--device", default="cpu")
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        if arguments.model is None:
            translator, videos = make_model(Path(folder), clips=arguments.clips)
        else:
            translator = Translator.from_pretrained(arguments.model, device=arguments.device)
            videos = arguments.videos
        # The first round, of caches and kernels that are still cold, is not counted.
        rounds = [measure(translator, videos) for _ in range(arguments.rounds + 1)][1:]
    figures: dict[str, Any] = {"clips": len(videos), "rounds": len(rounds), "load": os.getloadavg()}
    for kind in ("clock", "cpu"):
        turns = [getattr(watch, kind) for watch in rounds]
        figures[f"{kind}_seconds"] = {
            name: spread([turn[name] for turn in turns]) for name in ("bare", "translator", "reading")
        }
        figures[f"{kind}_ratio_without_reading"] = spread(
            [(turn["translator"] - turn["reading"]) / turn["bare"] for turn in turns]
        )
    print(json.dumps(figures, indent=2))


def spread(values: list[float]) -> dict[str, Any]:
    """Return median and range."""
    return {"median": statistics.median(values), "range": [min(values), max(values)]}


if __name__ == "__main__":
    main()
