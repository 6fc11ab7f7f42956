"""One real step on a GPU: what ``fla plan`` foretells, measured."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import torch

from ..core.device import resolve_dtype
from ..training.optimisers import make_optimiser
from .batching import TrainBatches
from .config import TuneConfig
from .data import FeatureItems, open_caches
from .demand import MemoryPlan
from .memory import CONTEXT_BYTES, GB
from .model import StageTwoModel


@dataclass(frozen=True, kw_only=True)
class Probed:
    """The most that one real step took."""

    training_bytes: int
    """``max_memory_allocated`` of a training step of the largest batch."""
    generation_bytes: int
    """The same of its search."""

    @property
    def bytes(self) -> int:
        """The larger, with the context, which the allocator does not count (assumed)."""
        return max(self.training_bytes, self.generation_bytes) + CONTEXT_BYTES

    def describe(self, plan: MemoryPlan) -> str:
        """Return measured beside foretold."""
        return f"One real step took {self.bytes / GB:.2f} GB; foretold were {plan.bytes / GB:.2f} GB."


def probe_run(features: Sequence[Path], *, llm: str, config: TuneConfig, device: torch.device) -> Probed:
    """Load the model and run one training step and one search on the largest batch."""
    from .train import build_model

    items = FeatureItems(open_caches(features, "train"), view_seed=config.seed)
    model = build_model(items, llm=llm, config=config, device=device).train()
    return probe_model(model, TrainBatches(model, items).largest, device=device)


def probe_model(
    model: StageTwoModel, batch: dict[str, Any], *, device: torch.device, steps: int = 2
) -> Probed:
    """Train ``steps`` times on a batch and translate it once, noting the peaks of the allocator.

    Two steps at least: in the second, the optimiser's moments are there from the beginning.
    """
    tensors = {name: value.to(device) for name, value in batch.items()}
    dtype = resolve_dtype(model.config.training.precision, device)
    optimiser = make_optimiser(model.parameter_groups(), model.config.training)
    torch.cuda.reset_peak_memory_stats(device)
    for _ in range(steps):
        with torch.autocast(device.type, dtype=dtype, enabled=dtype != torch.float32):
            loss = model(**tensors)["loss"]
        loss.backward()
        optimiser.step()
        optimiser.zero_grad()
    training = torch.cuda.max_memory_allocated(device)
    torch.cuda.reset_peak_memory_stats(device)
    with torch.no_grad(), torch.autocast(device.type, dtype=dtype, enabled=dtype != torch.float32):
        model.eval().translate(tensors, replace(model.config.decoding))
    return Probed(training_bytes=training, generation_bytes=torch.cuda.max_memory_allocated(device))
