"""What tuning takes on this GPU, beside what `fla plan` foretells. Needs a CUDA device.

    python bench/vram.py --llm path/to/model --features cache/ --card 12

The process is capped at the card's size, the context taken off; the model trains 20 steps of the largest
batch and translates it; peaks are the allocator's (max_memory_allocated). Wanted: weights within 1 %, the
total within the larger of 10 % and 300 MB, "fits" never wrong. It has not run on a GPU yet.
"""

import argparse
import json
from pathlib import Path

import torch

from fla_llm.core.config import load_config
from fla_llm.core.device import resolve_device
from fla_llm.finetune.batching import TrainBatches
from fla_llm.finetune.config import PRESETS, TuneConfig
from fla_llm.finetune.data import FeatureItems, open_caches
from fla_llm.finetune.memory import CONTEXT_BYTES, GB
from fla_llm.finetune.plan import Lengths, plan_run
from fla_llm.finetune.probe import probe_model
from fla_llm.finetune.train import build_model

STEPS = 20


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--llm", required=True)
    parser.add_argument("--features", type=Path, required=True)
    parser.add_argument("--card", type=float, required=True, help="GB")
    parser.add_argument("--config", default="llama")
    asked = parser.parse_args()
    device = resolve_device("cuda")
    config = load_config(TuneConfig, base=TuneConfig(), presets=PRESETS, source=asked.config)
    plan = plan_run(
        asked.llm,
        config=config,
        lengths=Lengths(features=[asked.features]),
        vram_gb=asked.card,
        device="cuda",
    ).plan
    whole = torch.cuda.get_device_properties(device).total_memory
    torch.cuda.set_per_process_memory_fraction((asked.card * GB - CONTEXT_BYTES) / whole, device)
    items = FeatureItems(open_caches([asked.features], "train"), view_seed=config.seed)
    figures: dict[str, object] = {"foretold": plan.bytes, "foretold_fits": plan.fits}
    try:
        model = build_model(items, llm=asked.llm, config=config, device=device).train()
        figures["weights_measured"] = torch.cuda.memory_allocated(device)
        probed = probe_model(model, TrainBatches(model, items).largest, device=device, steps=STEPS)
        figures |= {"measured": probed.bytes, "measured_fits": True}
    except torch.cuda.OutOfMemoryError:
        figures["measured_fits"] = False
    print(json.dumps(figures, indent=2))


if __name__ == "__main__":
    main()
