"""Probe: measure memory and seconds of a real step on a GPU, in place of the estimates of ``fla plan``."""

import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from ..finetune.batching import TrainBatches
from ..finetune.config import TuneConfig
from ..finetune.data import FeatureItems
from ..finetune.model import StageTwoModel
from ..finetune.positions import source_positions
from ..finetune.train import build_model, evaluation_set
from ..training.batches import move_batch, padded_size
from ..training.config import DecodingConfig
from ..training.optimisers import make_optimiser
from .hours import Hours, measured_hours
from .memory import CONTEXT_BYTES, GB
from .run_spec import MemoryPlan, RunSpec


@dataclass(frozen=True, kw_only=True)
class Probed:
    """Memory and time of a real training step and a real search."""

    training_bytes: int
    """``max_memory_allocated`` of a training step of the largest batch."""
    generation_bytes: int
    """``max_memory_allocated`` of the search on the largest batch of an evaluation."""
    step_seconds: float
    """Seconds of the last training step. The first step also chooses kernels."""
    search_seconds: float

    @property
    def bytes(self) -> int:
        """The larger peak, with the context, which the allocator does not count (assumed)."""
        return max(self.training_bytes, self.generation_bytes) + CONTEXT_BYTES

    def hours(self, run: RunSpec) -> Hours:
        """Return the hours of a run in which every batch takes as long as the measured, largest batch."""
        evaluation = len(run.evaluation_shapes) * self.search_seconds
        seconds = len(run.train_shapes) * self.step_seconds + evaluation
        source = "measured on this GPU with the largest batch, evaluations included: an upper bound"
        return measured_hours(
            seconds, steps=run.steps_per_epoch, epochs=run.tune.training.epochs, source=source
        )

    def describe(self, plan: MemoryPlan) -> str:
        """Return measured beside estimated bytes."""
        return f"One real step took {self.bytes / GB:.2f} GB; the estimate was {plan.bytes / GB:.2f} GB."


def probe_run(
    train: FeatureItems, dev: FeatureItems, *, llm: str, config: TuneConfig, device: torch.device
) -> Probed:
    """Load the model, and run training steps and a search, each on the largest batch of its kind."""
    model = build_model(train, llm=llm, config=config, device=device).train()
    batch, translated = TrainBatches(model, train).largest, largest_translated(model, dev)
    return probe_model(model, batch, translated=translated, device=device)


def largest_translated(model: StageTwoModel, items: FeatureItems) -> dict[str, Any]:
    """Return the batch of the most positions in an evaluation, the tokens to come included."""
    # Sentences do not count in an evaluation, so its batches hold more clips than those of training.
    batches = evaluation_set(model, items).batches
    sources = source_positions(model, items.stream_lengths, languages=items.languages, tasks=items.tasks)
    whole = [source + model.config.decoding.max_new_tokens for source in sources]
    sizes = [padded_size(batch, whole) for batch in batches.batches]
    return batches[sizes.index(max(sizes))]


def probe_model(
    model: StageTwoModel,
    batch: dict[str, Any],
    *,
    translated: dict[str, Any],
    device: torch.device,
    steps: int = 3,
) -> Probed:
    """Train ``steps`` times on a batch, translate another, and record the peaks of the allocator.

    ``steps`` must be two at least: the moments of the optimiser exist from the second step on.
    """
    tensors = move_batch(batch, device)
    optimiser = make_optimiser(model.parameter_groups(), model.config.training)
    torch.cuda.reset_peak_memory_stats(device)
    seconds = [_seconds(lambda: train_step(model, tensors, optimiser), device) for _ in range(steps)]
    training = torch.cuda.max_memory_allocated(device)
    # The peak of training must not hide a lower peak of the search.
    torch.cuda.reset_peak_memory_stats(device)
    model.eval()
    tensors = move_batch(translated, device)
    searched = _seconds(lambda: search(model, tensors, model.config.decoding), device)
    return Probed(
        training_bytes=training, generation_bytes=torch.cuda.max_memory_allocated(device),
        step_seconds=seconds[-1], search_seconds=searched,
    )  # fmt: skip


def _seconds(work: Callable[[], Any], device: torch.device) -> float:
    torch.cuda.synchronize(device)
    start = time.perf_counter()
    work()
    torch.cuda.synchronize(device)  # kernels run on after the call returns
    return time.perf_counter() - start


def train_step(model: StageTwoModel, tensors: dict[str, Any], optimiser: torch.optim.Optimizer) -> Tensor:
    """Train on a batch on the device of the model, with the steps of the engine. Return the loss."""
    loss = model(**tensors)["loss"]
    loss.backward()
    if model.config.training.max_grad_norm > 0:
        trained = [parameter for parameter in model.parameters() if parameter.requires_grad]
        torch.nn.utils.clip_grad_norm_(trained, model.config.training.max_grad_norm)
    optimiser.step()
    optimiser.zero_grad()
    return loss.detach()


def search(model: StageTwoModel, tensors: dict[str, Any], decoding: DecodingConfig) -> list[str]:
    """Translate a batch with the steps of an evaluation. The model must be in eval mode."""
    return model.translate(tensors, decoding)
