"""Speed of `fla tune` compared with a loop written by hand: python bench/tune_speed.py [options].

Both train the same model for an epoch of a generated cache, from the same weights, on the same batches in the
same order, with the same loss, LoRA, checkpointing, autocast, clipping, schedule and optimiser: once by the
engine of ``fla tune`` (transformers' Trainer, our log, batches halved where memory ends), once by a loop of
plain PyTorch. In turns, in one process, after a round that is not counted; both must end at the same weights.
Batches are made in the main process; the seconds spent on that are given apart.

Tokens are all that the model reads and is told: feature steps, prompt, sentence, padding left out. Clips have
about PHOENIX-2014T's lengths; the model is a random Llama unless --llm names another.
"""

import argparse
import json
import math
import os
import platform
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path

import torch
from cache_reading import lengths, spread, write_cache
from timed_fit import TimedBatches, check_same_work, now, timed_fit, trained
from torch.nn.utils import clip_grad_norm_
from torch.utils.data import DataLoader
from transformers import get_scheduler, set_seed

from fla_llm.core.device import resolve_device
from fla_llm.core.streams import print_line
from fla_llm.demo.config import SmallLlmConfig
from fla_llm.demo.corpus import demo_text
from fla_llm.demo.small_llm import make_small_llm
from fla_llm.finetune.batching import TrainBatches
from fla_llm.finetune.collate import collate
from fla_llm.finetune.config import TuneConfig
from fla_llm.finetune.data import FeatureItems, open_caches
from fla_llm.finetune.train import build_model
from fla_llm.training.batches import EpochOrder
from fla_llm.training.model import IGNORED
from fla_llm.training.optimisers import make_optimiser

SEED = 0
WIDTH = 512  # of the features


@dataclass(frozen=True, kw_only=True)
class Turn:
    """Measurement of an epoch."""

    seconds: float
    waiting: float
    """Seconds of waiting for batches."""
    weights: torch.Tensor


class Bench:
    """Cache and model, with two ways to train an epoch."""

    def __init__(self, folder: Path, *, llm: str, config: TuneConfig, device: str) -> None:
        self.device = resolve_device(device)
        self.training = config.training
        items = FeatureItems(open_caches([folder], "train"), view_seed=config.seed)
        self.model = build_model(items, llm=llm, config=config, device=self.device)
        self.batches = TimedBatches(
            items, TrainBatches(self.model, items).batches, partial(collate, codec=self.model.codec)
        )
        self.start = {name: tensor.clone() for name, tensor in self.model.checkpoint_state().items()}
        self.origin = trained(self.model)
        self.tokens = sum(self._count(self.batches[number]) for number in range(len(self.batches)))
        self.steps = math.ceil(len(self.batches) / self.training.accumulate)

    def engine(self) -> Turn:
        """Train with the engine of ``fla tune``."""
        self._begin()
        seconds = timed_fit(self.model, self.batches, seed=SEED)
        return self._end(seconds)

    def hand(self) -> Turn:
        """Train with a loop written by hand."""
        self._begin()
        model, config = self.model.train(), self.training
        optimiser = make_optimiser(model.parameter_groups(), config)
        parameters = [parameter for group in optimiser.param_groups for parameter in group["params"]]
        schedule = get_scheduler(
            config.schedule, optimiser, num_training_steps=self.steps,
            num_warmup_steps=math.ceil(config.warmup_share * self.steps),
        )  # fmt: skip
        begin = now(self.device)
        for step, batches in enumerate(self._loaded()):
            if step == 0:
                set_seed(SEED)
            count = sum((batch["labels"] != IGNORED).sum() for batch in batches)
            for batch in batches:
                model(**batch, num_items_in_batch=count)["loss"].backward()
            clip_grad_norm_(parameters, config.max_grad_norm)
            optimiser.step()
            schedule.step()
            optimiser.zero_grad()
        return self._end(now(self.device) - begin)

    def _loaded(self) -> Iterator[list[dict[str, torch.Tensor]]]:
        """Yield the batches of each step, on the device."""
        on_cuda = self.device.type == "cuda"
        order = EpochOrder(self.batches, seed=SEED)
        loader = DataLoader(self.batches, batch_size=None, sampler=order, pin_memory=on_cuda)
        step: list[dict[str, torch.Tensor]] = []
        for number, batch in enumerate(loader, start=1):
            step.append({name: x.to(self.device, non_blocking=on_cuda) for name, x in batch.items()})
            if number % self.training.accumulate == 0 or number == len(self.batches):
                yield step
                step = []

    def _begin(self) -> None:
        self.model.load_checkpoint_state(self.start)
        self.model.zero_grad()
        self.batches.seconds = 0.0

    def _end(self, seconds: float) -> Turn:
        return Turn(seconds=seconds, waiting=self.batches.seconds, weights=trained(self.model))

    def _count(self, batch: dict[str, torch.Tensor]) -> int:
        told = (batch["labels"] != IGNORED).sum()
        return int(batch["feature_lengths"].sum() + batch["prompt_lengths"].sum() + told)


def measure(bench: Bench, *, rounds: int) -> dict[str, list[float]]:
    """Return tokens per second and waiting seconds of both ways, and the ratio, for each round."""
    figures: dict[str, list[float]] = {}
    for turn in range(rounds + 1):
        if turn % 2:
            engine, hand = bench.engine(), bench.hand()
        else:
            hand, engine = bench.hand(), bench.engine()
        apart = check_same_work(hand.weights, engine.weights, start=bench.origin)
        if turn == 0:  # the first of all chooses kernels and fills caches
            continue
        for name, value in {
            "engine_tokens_per_second": bench.tokens / engine.seconds,
            "hand_tokens_per_second": bench.tokens / hand.seconds,
            "ratio": hand.seconds / engine.seconds,
            "ratio_without_waiting": (hand.seconds - hand.waiting) / (engine.seconds - engine.waiting),
            "engine_waiting_seconds": engine.waiting,
            "hand_waiting_seconds": hand.waiting,
            "hand_step_seconds": hand.seconds / bench.steps,
            "weights_apart": apart,
        }.items():
            figures.setdefault(name, []).append(value)
        said = ", ".join(f"{name} {values[-1]:.4g}" for name, values in figures.items())
        print_line(f"{turn}: {said}")
    return figures


def settings(args: argparse.Namespace) -> TuneConfig:
    base = TuneConfig()
    training = replace(
        base.training, epochs=1, batch_clips=args.batch_clips, accumulate=args.accumulate,
        precision=args.precision, select="last",
    )  # fmt: skip
    return replace(
        base, quantise=args.quantise, train=args.train, training=training,
        activation_checkpointing=not args.no_checkpointing,
    )  # fmt: skip


def parse_args() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--llm", help="a model's directory  [a random Llama of the next two]")
    parser.add_argument("--hidden-size", type=int, default=256)
    parser.add_argument("--layers", type=int, default=4)
    parser.add_argument("--clips", type=int, default=320)
    parser.add_argument("--batch-clips", type=int, default=16)
    parser.add_argument("--accumulate", type=int, default=1)
    parser.add_argument("--quantise", default="nf4")
    parser.add_argument("--train", default="lora+projector")
    parser.add_argument("--precision", default="auto", choices=("auto", "bf16", "fp32"))
    parser.add_argument("--no-checkpointing", action="store_true")
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--rounds", type=int, default=7)
    return parser.parse_args()


def main() -> None:
    args = parse_args()
    load = os.getloadavg()[0]
    with tempfile.TemporaryDirectory() as name:
        texts = demo_text(count=args.clips, seed=SEED, exclude=())
        write_cache(Path(name) / "cache", lengths(args.clips), width=WIDTH, texts=texts)
        shape = SmallLlmConfig(hidden_size=args.hidden_size, layers=args.layers, steps=1)
        llm = args.llm or str(make_small_llm(texts, Path(name) / "llm", config=shape, device=args.device))
        bench = Bench(Path(name) / "cache", llm=llm, config=settings(args), device=args.device)
        figures = measure(bench, rounds=args.rounds)
    report = {
        "machine": f"{platform.processor() or platform.machine()}, {os.cpu_count()} cores",
        "threads": torch.get_num_threads(),
        "load_average_at_start_and_end": (load, os.getloadavg()[0]),
        **{name: value for name, value in vars(args).items() if name != "rounds"},
        "parameters": bench.model.llm.num_parameters(),
        "trained": bench.model.num_trained,
        "steps": bench.steps,
        "tokens": bench.tokens,
        **{name: spread(values) for name, values in figures.items()},
    }
    print(json.dumps(report, indent=2))


if __name__ == "__main__":
    main()
