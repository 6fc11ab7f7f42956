"""The table of docs/plan.md: what `fla plan` says of eight models on four sizes of card. Loads no weights.

    python bench/vram_table.py

Lengths: PHOENIX14T's longest clip and sentence in every place of a batch. Every cell is foretold.
"""

from collections.abc import Iterator

import torch
from vram_shapes import PRESETS, SHAPES

from fla_llm.core.config import load_config
from fla_llm.finetune import config as tuning
from fla_llm.finetune.batch_shapes import PHOENIX_STEPS, PHOENIX_WORDS, assumed_lengths
from fla_llm.finetune.demand import Demand, MemoryPlan
from fla_llm.finetune.fit import plan_memory
from fla_llm.finetune.memory import GB
from fla_llm.finetune.plan import FEATURE_SIZE
from fla_llm.finetune.skeleton import config_from

CARDS = (8, 12, 16, 24)


def demand_of(name: str) -> Demand:
    settings = load_config(
        tuning.TuneConfig, base=tuning.TuneConfig(), presets=tuning.PRESETS, source=PRESETS[name]
    )
    clips = assumed_lengths(PHOENIX_STEPS, PHOENIX_WORDS, clips=settings.training.batch_clips)
    return Demand(
        config=config_from(SHAPES[name], name=name), tune=settings, feature_size=FEATURE_SIZE,
        dtype=torch.bfloat16, train=clips, dev=clips,
    )  # fmt: skip


def cell(plan: MemoryPlan) -> str:
    if plan.fits:
        return "fits"
    changes = [line.removeprefix("--set ").partition(":")[0] for line in plan.remedies if "--set" in line]
    return f"with `{' '.join(changes)}`" if plan.remedies[-1].endswith("fits") else "no"


def rows() -> Iterator[str]:
    yield "| model | preset | takes | " + " | ".join(f"{card} GB" for card in CARDS) + " |"
    yield "|---|---|---|" + "---|" * len(CARDS)
    for name in SHAPES:
        plans = [plan_memory(demand_of(name), room=card * GB) for card in CARDS]
        cells = " | ".join(cell(plan) for plan in plans)
        yield f"| {name} | `{PRESETS[name]}` | {plans[0].bytes / GB:.1f} GB | {cells} |"


if __name__ == "__main__":
    for row in rows():
        print(row, flush=True)
