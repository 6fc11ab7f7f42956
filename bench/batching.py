"""Share of sentences that differ between batches of 1 and 16: python bench/batching.py RUN --features cache.

Translates a split of a stage-two run in either batch, its base as it was tuned and unquantised, computed in
bf16 and in fp32. Batches change the order in which numbers are added up, so a beam that is ahead by less than
rounding may lose. Prints a row for each: the share of sentences that differ, BLEU-4 of each batch, and the
share that differs when the larger batches are run again, which must be 0.
"""

import argparse
import json
import os
import platform
import tempfile
from dataclasses import replace
from pathlib import Path
from typing import Any

from fla_llm.cache.reader import FeatureCache
from fla_llm.core.config import load_config, write_config
from fla_llm.core.device import resolve_device, resolve_dtype
from fla_llm.finetune.batching import feature_evaluation_set
from fla_llm.finetune.config import TuneConfig
from fla_llm.finetune.data import FeatureItems
from fla_llm.finetune.run_files import CONFIG
from fla_llm.finetune.store import load_stage_two
from fla_llm.training.evaluation import mean_scores, predict

UNBOUNDED = 10**9


def with_format(run: Path, folder: Path, config: TuneConfig) -> Path:
    """Return a copy of ``run`` with other settings."""
    for part in run.resolve().iterdir():
        if part.name != CONFIG:
            (folder / part.name).symlink_to(part)
    write_config(config, folder / CONFIG)
    return folder


def measure(
    run: Path, items: FeatureItems, *, config: TuneConfig, sizes: list[int], device: str
) -> dict[str, Any]:
    """Return a row: shares, 0-1, and BLEU-4 of each size."""
    torch_device = resolve_device(device)
    with tempfile.TemporaryDirectory() as folder:
        model = load_stage_two(with_format(run, Path(folder), config), device=torch_device)
    sets = {
        size: feature_evaluation_set(items, model=model, max_clips=size, max_tokens=UNBOUNDED)
        for size in sizes
    }
    texts, again = (
        {
            size: predict(model, sets[size], decoding=config.decoding, device=torch_device, desc=None)
            for size in which
        }
        for which in (sizes, sizes[-1:])
    )
    one, other = (texts[size].hypotheses for size in (sizes[0], sizes[-1]))
    return {
        "quantise": config.quantise,
        "computed_in": str(resolve_dtype(config.training.precision, torch_device)).removeprefix("torch."),
        "sentences": len(items),
        "differ": share(one, other),
        "rerun_differs": share(other, again[sizes[-1]].hypotheses),
        "bleu4": {size: mean_scores(found)["bleu4"] for size, found in texts.items()},
    }


def share(one: list[str], other: list[str]) -> float:
    return sum(a != b for a, b in zip(one, other, strict=True)) / len(one)


def formats(own: TuneConfig) -> list[TuneConfig]:
    """Return the settings with the base as tuned and unquantised, in bf16 and in fp32."""
    return [
        replace(own, quantise=quantise, training=replace(own.training, precision=precision))
        for quantise in dict.fromkeys((own.quantise, "none"))
        for precision in ("bf16", "fp32")
    ]


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("run", type=Path)
    parser.add_argument("--features", type=Path, action="append", required=True)
    parser.add_argument("--split", default="test")
    parser.add_argument("--limit", type=int, help="Clips of each cache.")
    parser.add_argument("--sizes", type=int, nargs="+", default=[1, 16])
    parser.add_argument("--device", default="auto")
    args = parser.parse_args()
    print(json.dumps({"machine": platform.processor() or platform.machine(), "cores": os.cpu_count()}))
    items = FeatureItems([FeatureCache(cache, args.split) for cache in args.features], limit=args.limit)
    own = load_config(TuneConfig, source=str(args.run / CONFIG))
    for config in formats(own):
        row = measure(args.run, items, config=config, sizes=args.sizes, device=args.device)
        print(json.dumps(row), flush=True)


if __name__ == "__main__":
    main()
