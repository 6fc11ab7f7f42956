"""One real step on a GPU: what ``fla plan`` foretells, measured."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from ..core.device import resolve_dtype
from ..finetune.batching import TrainBatches
from ..finetune.config import TuneConfig
from ..finetune.data import FeatureItems, open_caches
from ..finetune.model import StageTwoModel
from ..finetune.train import build_model
from ..training.config import DecodingConfig
from ..training.optimisers import make_optimiser
from .demand import MemoryPlan
from .memory import CONTEXT_BYTES, GB


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
    optimiser = make_optimiser(model.parameter_groups(), model.config.training)
    torch.cuda.reset_peak_memory_stats(device)
    for _ in range(steps):
        train_step(model, tensors, optimiser)
    training = torch.cuda.max_memory_allocated(device)
    torch.cuda.reset_peak_memory_stats(device)
    search(model.eval(), tensors, model.config.decoding)
    return Probed(training_bytes=training, generation_bytes=torch.cuda.max_memory_allocated(device))


def train_step(model: StageTwoModel, tensors: dict[str, Any], optimiser: torch.optim.Optimizer) -> Tensor:
    """Train once on a batch that lies on the model's device, as the engine does; return the loss."""
    with _autocast(model):
        loss = model(**tensors)["loss"]
    loss.backward()
    if model.config.training.max_grad_norm > 0:
        trained = [parameter for parameter in model.parameters() if parameter.requires_grad]
        torch.nn.utils.clip_grad_norm_(trained, model.config.training.max_grad_norm)
    optimiser.step()
    optimiser.zero_grad()
    return loss.detach()


def search(model: StageTwoModel, tensors: dict[str, Any], decoding: DecodingConfig) -> list[str]:
    """Translate a batch as an evaluation does; the model is in eval mode."""
    with torch.no_grad(), _autocast(model):
        return model.translate(tensors, decoding)


def _autocast(model: StageTwoModel) -> torch.autocast:
    """Return the number format that the engine runs a model in."""
    device: torch.device = model.language_model.model.device
    dtype = resolve_dtype(model.config.training.precision, device)
    return torch.autocast(device.type, dtype=dtype, enabled=dtype != torch.float32)
