"""The tables of docs/plan.md: what `fla plan` says of eight models on four sizes of card. Loads no weights.

    python bench/vram_table.py
    python bench/vram_table.py --measured vram.jsonl

Lengths: the corpus's longest clip and sentence in every place of a batch, a table for each corpus of
bench/vram.py. Every cell is foretold, unless a file of that has measured it.
"""

import argparse
from collections.abc import Iterator
from pathlib import Path

from vram_plan import demand_of, settings_of
from vram_results import Results
from vram_shapes import CORPORA, LONGEST, PRESETS, SHAPES

from fla_llm.planning.demand import Demand, MemoryPlan
from fla_llm.planning.fit import plan_memory
from fla_llm.planning.memory import GB

CARDS = (8, 12, 16, 24)


def longest_demand(name: str, corpus: str) -> Demand:
    tune = settings_of(name)
    return demand_of(name, [LONGEST[corpus]] * tune.training.batch_clips, tune=tune)


def cell(plan: MemoryPlan, measured: bool | None) -> str:
    """Return what a card can do with a model; what was measured decides whether it fits."""
    if measured or (measured is None and plan.fits):
        return "fits (measured)" if measured else "fits"
    if plan.fits:
        return "does not fit (measured)"
    changes = [line.removeprefix("--set ").partition(":")[0] for line in plan.remedies if "--set" in line]
    can = bool(plan.remedies) and plan.remedies[-1].endswith("fits")
    foretold = f"with `{' '.join(changes)}`" if can else "no"
    return foretold if measured is None else f"{foretold}; does not fit as it is (measured)"


def rows(corpus: str, results: Results) -> Iterator[str]:
    yield "| model | preset | takes | " + " | ".join(f"{card} GB" for card in CARDS) + " |"
    yield "|---|---|---|" + "---|" * len(CARDS)
    for name in SHAPES:
        plans = {card: plan_memory(longest_demand(name, corpus), room=card * GB) for card in CARDS}
        cells = [cell(plan, results.fits(name, card, corpus)) for card, plan in plans.items()]
        took = plans[CARDS[0]].bytes / GB
        yield f"| {name} | `{PRESETS[name]}` | {took:.1f} GB | {' | '.join(cells)} |"


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--measured", type=Path, help="what bench/vram.py wrote")
    asked = parser.parse_args()
    for corpus in CORPORA:
        print(f"{corpus}:\n")
        for row in rows(corpus, Results(asked.measured)):
            print(row, flush=True)
        print()


if __name__ == "__main__":
    main()
