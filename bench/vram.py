"""What tuning takes on cards of four sizes, beside what `fla plan` foretells.

    python bench/vram.py --out vram.jsonl
    python bench/vram.py --out vram.jsonl --models Qwen3-4B --cards 8 12 --corpora How2Sign --minutes 8

Models of the real shapes with random weights (vram_model.py), loaded in the preset's format by the project's
own loader. Each cell, a model on a card for a corpus, runs in a process of its own, whose allocator may take
no more than the card has, CUDA's context taken off (measured in a small run first). There it trains, on
batches of the corpus' typical, 95th percentile and longest length in turns, as full as the preset makes them,
and searches for translations of each, up to the sentence's own length, with the preset's beams.

Peaks are the allocator's (max_memory_allocated). Wanted: weights within 1 %, the total within the larger of
10 % and 300 MB, "fits" never wrong. Every cell is written to --out when it ends; those that are there are
skipped. Without a CUDA device nothing is measured, and the table says so. --tiny rehearses all this with
small models, on a CPU too, where bytes are those of the tensors that operations make.
"""

import argparse
import json
import sys
import time
from collections.abc import Iterator
from itertools import product
from pathlib import Path
from typing import Any

import torch
from vram_cell import Cell, run_cell
from vram_plan import batches_of, foretell
from vram_results import Results, foretold_of, table
from vram_shapes import CORPORA, MEASURED, SHAPES
from vram_table import CARDS

from fla_llm.planning.memory import GB


def main() -> None:
    asked = options()
    if asked.device == "cuda" and not torch.cuda.is_available():
        print("There is no CUDA device: not measured.\n", flush=True)
    else:
        measure_cells(asked, Results(asked.out))
    results = Results(asked.out)
    for line in () if asked.no_table else table(rows(asked, results), results):
        print(line, flush=True)


def options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--models", nargs="+", default=MEASURED, choices=SHAPES, metavar="MODEL")
    parser.add_argument("--cards", nargs="+", type=int, default=CARDS, metavar="GB")
    parser.add_argument("--corpora", nargs="+", default=tuple(CORPORA), choices=CORPORA)
    parser.add_argument("--steps", type=int, default=20)
    parser.add_argument("--out", type=Path, default=Path("vram.jsonl"))
    parser.add_argument("--minutes", type=float, help="begin no cell after so many")
    parser.add_argument("--device", choices=("cuda", "cpu"), default="cuda")
    parser.add_argument("--tiny", action="store_true", help="small models: a rehearsal")
    parser.add_argument("--no-table", action="store_true", help="measure only: the table needs no GPU")
    asked = parser.parse_args()
    if asked.steps < 2 * max(map(len, CORPORA.values())):
        parser.error("--steps must be 6 at least: in a batch's second step the optimiser's moments are there")
    if asked.device == "cpu" and not asked.tiny:
        parser.error("--device cpu is for rehearsals: add --tiny")
    return asked


def measure_cells(asked: argparse.Namespace, results: Results) -> None:
    """Measure what is asked for and not there yet; what fails for another reason than memory ends it all."""
    start = time.monotonic()
    context = gpu_context(asked, results) if asked.device == "cuda" else None
    taken = None if context is None else context["bytes"]
    missing = [wanted for wanted in cells(asked, context) if results.find(**wanted) is None]
    for number, wanted in enumerate(missing, start=1):
        if asked.minutes is not None and time.monotonic() - start > 60 * asked.minutes:
            say(f"{len(missing) - number + 1} cells are left: run it again")
            return
        say(f"{number} of {len(missing)}: {wanted['model']}, {wanted['card_gb']} GB, {wanted['corpus']}")
        found = run_cell(Cell(**wanted, steps=asked.steps, context_bytes=taken))
        if context is not None and found["device_name"] != context["device_name"]:
            sys.exit(f"{asked.out} is of a {context['device_name']}: give another --out")
        write(asked.out, found)
        say(f"  {'fits' if found['fits'] else 'does not fit: ' + found['problem']}")


def cells(asked: argparse.Namespace, context: dict[str, Any] | None) -> Iterator[dict[str, Any]]:
    """Yield what tells one cell from another; cards larger than this device cannot be measured."""
    for model, card, corpus in product(asked.models, asked.cards, asked.corpora):
        if context is not None and card * GB - context["bytes"] > context["total_bytes"]:
            say(f"{model}, {card} GB: not measured, this device has less")
            continue
        own = {"tiny": asked.tiny, "device": asked.device}
        yield {"model": model, "card_gb": card, "corpus": corpus, **own}


def gpu_context(asked: argparse.Namespace, results: Results) -> dict[str, Any]:
    """Return what a process takes of this GPU besides tensors, measured once for a file of results.

    This process asks CUDA for nothing, so that it takes nothing of a small card.
    """
    if results.contexts:
        return list(results.contexts.values())[-1]
    say("measuring CUDA's context")
    model, corpus = asked.models[0], asked.corpora[0]
    small = Cell(model=model, card_gb=0, corpus=corpus, steps=6, tiny=True, device="cuda", context_bytes=None)
    found = run_cell(small, "--context")
    write(asked.out, found)
    say(f"  {found['bytes'] / GB:.2f} GB, {found['bare_bytes'] / GB:.2f} GB of it bare")
    return found


def rows(asked: argparse.Namespace, results: Results) -> Iterator[tuple[dict[str, Any], Any]]:
    """Yield each cell that was asked for, as far as it was measured, with what the plan says of it."""
    for model, corpus, card in product(asked.models, asked.corpora, asked.cards):
        wanted = {"model": model, "corpus": corpus, "card_gb": card}
        found = results.find(**wanted, tiny=asked.tiny, device=asked.device)
        batches = batches_of(model, corpus)
        yield (found or wanted), foretold_of(found) if found else foretell(model, batches, small=asked.tiny)


def write(path: Path, row: dict[str, Any]) -> None:
    with path.open("a", encoding="utf-8") as file:
        file.write(json.dumps(row) + "\n")


def say(line: str) -> None:
    print(line, file=sys.stderr, flush=True)


if __name__ == "__main__":
    main()
