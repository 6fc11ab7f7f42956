"""Share of padding in the batches of stage two: python bench/padding.py [--manifest manifest.jsonl].

Of a manifest, frames and sentences of its training split, a feature every four frames. Without one, 7,096
clips are drawn: frames from a gamma distribution with the mean of PHOENIX14T's training split (117), between
16 and its longest (475); words from a negative binomial with about the quantiles of its sentences (5 % have
up to 7, half 14, 95 % 26, the longest 53; counted in the annotation), drawn apart from the frames. Real
sentences are long where clips are, which makes padding less: what is drawn is the harder case. A token is
three bytes of text.
"""

import argparse
import random
from pathlib import Path

import numpy as np

from fla_llm.corpora.manifest import read_manifest
from fla_llm.finetune.config import TuneConfig
from fla_llm.llm.causal import CausalLM
from fla_llm.llm.seq2seq import Seq2SeqLM
from fla_llm.planning.sequence_lengths import BYTES_PER_TOKEN, BYTES_PER_WORD, assumed_prompt, text_tokens
from fla_llm.training.batches import make_batches, padded_size

CLIPS, STRIDE = 7096, 4
MEAN_FRAMES, LEAST_FRAMES, MOST_FRAMES = 117, 16, 475
MEAN_WORDS, LEAST_WORDS, MOST_WORDS = 15, 2, 53
BUDGETS = (1440, 2880, 5120)


def drawn(seed: int) -> tuple[list[int], list[int]]:
    """Return feature steps and labels of each clip."""
    draw = np.random.default_rng(seed)
    frames = draw.gamma(5.0, MEAN_FRAMES / 5.0, CLIPS).clip(LEAST_FRAMES, MOST_FRAMES)
    words = draw.negative_binomial(10, 10 / (10 + MEAN_WORDS), CLIPS).clip(LEAST_WORDS, MOST_WORDS)
    labels = -(-words * BYTES_PER_WORD // BYTES_PER_TOKEN) + 1
    return np.ceil(frames / STRIDE).astype(int).tolist(), labels.tolist()


def of_manifest(path: Path) -> tuple[list[int], list[int]]:
    """Return feature steps and labels of each training clip."""
    samples = read_manifest(path).split("train")
    return [-(-s.num_frames // STRIDE) for s in samples], [text_tokens(s.text) + 1 for s in samples]


def waste(batches: list[list[int]], sides: tuple[list[int], ...]) -> float:
    return 1 - sum(map(sum, sides)) / sum(padded_size(batch, *sides) for batch in batches)


def in_random_order(sides: tuple[list[int], ...], clips: int) -> list[list[int]]:
    order = list(range(len(sides[0])))
    random.Random(0).shuffle(order)
    return [order[start : start + clips] for start in range(0, len(order), clips)]


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--manifest", type=Path)
    parser.add_argument("--batch-clips", type=int, default=16)
    asked = parser.parse_args()
    steps, labels = drawn(0) if asked.manifest is None else of_manifest(asked.manifest)
    sources = [count + assumed_prompt(TuneConfig()) for count in steps]
    print(f"{len(steps)} clips, at most {asked.batch_clips} in a batch")
    print("| model | `training.batch_tokens` | batches | padding | in random order |\n|---|---|---|---|---|")
    for name, family in {"decoder-only": CausalLM, "encoder-decoder": Seq2SeqLM}.items():
        sides = family.positions(sources, labels, [2] * len(steps))
        for budget in BUDGETS:
            batches = make_batches(*sides, max_clips=asked.batch_clips, max_steps=budget, seed=42)
            shuffled = waste(in_random_order(sides, asked.batch_clips), sides)
            print(f"| {name} | {budget} | {len(batches)} | {waste(batches, sides):.1%} | {shuffled:.1%} |")


if __name__ == "__main__":
    main()
