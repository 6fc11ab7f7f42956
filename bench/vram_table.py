"""The tables of docs/plan.md: eight models on four sizes of card, by estimates of `fla plan`. No weights.

    python bench/vram_table.py

Lengths: the corpus's longest clip and sentence in every place of a batch, a table for each corpus of
bench/vram.py. Every cell is an estimate.
"""

from collections.abc import Iterator

from vram_shapes import CORPORA, PRESETS, SHAPES, longest_run

from fla_llm.planning.memory import GB
from fla_llm.planning.remedies import plan_memory
from fla_llm.planning.run_spec import MemoryPlan

CARDS = (8, 12, 16, 24)


def cell(plan: MemoryPlan) -> str:
    """Return what a card can do with a model."""
    if plan.fits:
        return "fits"
    changes = [line.removeprefix("--set ").partition(":")[0] for line in plan.remedies if "--set" in line]
    can = bool(plan.remedies) and plan.remedies[-1].endswith("fits")
    return f"with `{' '.join(changes)}`" if can else "no"


def rows(corpus: str) -> Iterator[str]:
    yield "| model | preset | estimate | " + " | ".join(f"{card} GB" for card in CARDS) + " |"
    yield "|---|---|---|" + "---|" * len(CARDS)
    for name in SHAPES:
        plans = {card: plan_memory(longest_run(name, corpus), room=card * GB) for card in CARDS}
        took = plans[CARDS[0]].bytes / GB
        cells = " | ".join(map(cell, plans.values()))
        yield f"| {name} | `{PRESETS[name]}` | {took:.1f} GB | {cells} |"


def main() -> None:
    for corpus in CORPORA:
        print(f"{corpus}:\n")
        for row in rows(corpus):
            print(row, flush=True)
        print()


if __name__ == "__main__":
    main()
