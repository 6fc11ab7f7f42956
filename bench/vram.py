"""What tuning takes on this GPU, beside what `fla plan` estimates.

    python bench/vram.py --out vram.jsonl
    python bench/vram.py --out vram.jsonl --models Qwen3-4B --corpora How2Sign

Models of the real shapes with random weights (vram_model.py), loaded in the preset's format by the project's
own loader. Each trains and translates the fullest batch that its preset makes of a corpus' longest clips.
Peaks are the allocator's (max_memory_allocated), with the context that CUDA takes besides. Wanted: weights
within 1 %, the total within the larger of 10 % and 300 MB. A line of --out is written as each model ends, and
models that have a line are skipped. Without a CUDA device the table has estimates only, and says so.
"""

import argparse
import gc
import json
from collections.abc import Iterator
from itertools import product
from pathlib import Path
from typing import Any

import torch
from vram_model import load_random, make_batch, stage_two
from vram_shapes import CORPORA, MEASURED, SHAPES, longest_run

from fla_llm.core.files import read_jsonl
from fla_llm.finetune.build import base_dtype
from fla_llm.planning.memory import GB
from fla_llm.planning.probe import probe_model
from fla_llm.planning.run_spec import MemoryPlan, plan_once

Row = dict[str, Any]
HEADER = ("model", "corpus", "weights", "measured", "total", "measured", "within", "s a step")
WEIGHTS_SHARE, TOTAL_SHARE, TOTAL_BYTES = 0.01, 0.10, 300 * 2**20
"""How far an estimate may be off: the weights by a share, the total by the larger of the two."""


def main() -> None:
    asked = options()
    rows = read_jsonl(asked.out) if asked.out.is_file() else []
    measured = {(row["model"], row["corpus"]): row for row in rows}
    for key in product(asked.models, asked.corpora):
        if torch.cuda.is_available() and key not in measured:
            measured[key] = measure(*key)
            with asked.out.open("a", encoding="utf-8") as file:
                file.write(json.dumps(measured[key]) + "\n")
    for line in table([(*key, measured.get(key)) for key in product(asked.models, asked.corpora)]):
        print(line, flush=True)


def options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--models", nargs="+", default=MEASURED, choices=SHAPES, metavar="MODEL")
    parser.add_argument("--corpora", nargs="+", default=tuple(CORPORA), choices=CORPORA)
    parser.add_argument("--out", type=Path, default=Path("vram.jsonl"))
    return parser.parse_args()


def measure(name: str, corpus: str) -> Row:
    """Train and translate the fullest batch; a model for which the GPU is too small has no peaks."""
    device, run = torch.device("cuda"), longest_run(name, corpus)
    found: Row = {"model": name, "corpus": corpus, "device": torch.cuda.get_device_name(device)}
    gc.collect()  # a model is full of cycles: the last one would count as weights of this one
    torch.cuda.empty_cache()
    try:
        loaded = load_random(
            SHAPES[name], quantise=run.tune.quantise, dtype=base_dtype(run.tune, device), device=device
        )
        found["weights_bytes"] = torch.cuda.memory_allocated(device)
        model = stage_two(loaded, settings=run.tune, device=device)
        batches = [make_batch(model, shape) for shape in (run.train_shapes[0], run.evaluation_shapes[0])]
        probed = probe_model(model, batches[0], translated=batches[1], device=device)
    except torch.OutOfMemoryError as error:
        return found | {"problem": str(error).partition("\n")[0]}
    found |= {"training_bytes": probed.training_bytes, "generation_bytes": probed.generation_bytes}
    peak, context = max(probed.training_bytes, probed.generation_bytes), context_bytes(device)
    return found | {"context_bytes": context, "bytes": peak + context, "step_seconds": probed.step_seconds}


def context_bytes(device: torch.device) -> int:
    """Return what the GPU holds outside the allocator. Nothing else must use the GPU."""
    free, whole = torch.cuda.mem_get_info(device)
    return whole - free - torch.cuda.memory_reserved(device)


def table(cells: list[tuple[str, str, Row | None]]) -> Iterator[str]:
    """Yield a Markdown table of estimates and measurements."""
    yield f"| {' | '.join(HEADER)} |"
    yield "|---" * len(HEADER) + "|"
    for name, corpus, row in cells:
        run = longest_run(name, corpus)
        weights, plan = run.model.weights.total, plan_once(run, 2**60)
        yield f"| {' | '.join([name, corpus, *figures(weights, plan, row)])} |"


def figures(weights: int, plan: MemoryPlan, row: Row | None) -> list[str]:
    if row is None or "bytes" not in row:
        missing = "not measured" if row is None else "did not fit"
        return [_gb(weights), missing, _gb(plan.bytes), missing, "", ""]
    right = abs(weights - row["weights_bytes"]) <= WEIGHTS_SHARE * row["weights_bytes"]
    right &= abs(plan.bytes - row["bytes"]) <= max(TOTAL_SHARE * row["bytes"], TOTAL_BYTES)
    within = "yes" if right else "no"
    figures = [_gb(weights), _gb(row["weights_bytes"]), _gb(plan.bytes), _gb(row["bytes"]), within]
    return [*figures, f"{row['step_seconds']:.2f}"]


def _gb(size: int) -> str:
    return f"{size / GB:.2f} GB"


if __name__ == "__main__":
    main()
