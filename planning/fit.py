"""Does it fit: a run against a GPU's memory, and what to change where it does not."""

import logging
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path

import torch

from ..core.device import resolve_device, resolve_dtype
from ..core.errors import ModelError
from ..finetune.config import TuneConfig
from ..finetune.train import open_clips
from ..training.processes import local_device
from .clip_lengths import cached_lengths
from .demand import Demand, MemoryPlan, plan_once
from .kept_tokens import count_kept
from .layer_memory import UnmeasurableError
from .memory import CONTEXT_BYTES, GB, total
from .skeleton import read_config

logger = logging.getLogger(__name__)


def plan_memory(demand: Demand, *, room: int) -> MemoryPlan:
    """Return the plan of a run, with remedies if it does not fit into ``room`` bytes."""
    plan = plan_once(demand, room)
    return plan if plan.fits else replace(plan, remedies=_remedies(demand, room))


def check_fits(
    features: Sequence[Path], *, llm: str, config: TuneConfig, device: str, limit: int | None = None
) -> None:
    """Refuse a run that cannot fit into the device's free memory; on anything but CUDA nothing is refused.

    The arguments are those of :func:`fla_llm.finetune.train.tune`.

    Raises:
        ModelError: it does not fit; it names what to change.
    """
    place = local_device(resolve_device(device))
    if place.type != "cuda":
        return
    train, dev = open_clips(features, config=config, limit=limit)
    model_config = read_config(llm)
    trained, translated = cached_lengths(train, dev, tune=config)
    demand = Demand(
        config=model_config, tune=config, feature_size=train.feature_size,
        dtype=resolve_dtype(config.training.precision, place),
        train=trained, dev=translated,
        further_sizes=train.feature_sizes[1:],
        rows=count_kept(train, llm=llm, model_config=model_config, config=config),
    )  # fmt: skip
    try:  # this process' own context is no longer part of what is free
        plan = plan_memory(demand, room=free_bytes(place) + CONTEXT_BYTES)
    except UnmeasurableError as error:
        logger.warning(f"Not checked whether it fits. {error}")
        return
    if not plan.fits:
        raise ModelError(
            f"The run must fit into {plan.room / GB:.1f} GB, but takes about {plan.bytes / GB:.1f} GB.\n"
            + "\n".join(plan.remedies)
        )


def free_bytes(device: torch.device) -> int:
    """Return how much of a GPU's memory nobody holds."""
    return torch.cuda.mem_get_info(device)[0]


Change = Callable[[Demand, MemoryPlan], tuple[str, Demand] | None]


def _remedies(demand: Demand, room: int) -> tuple[str, ...]:
    """Apply changes one after another until the run fits, and say what each brought."""
    said: list[str] = []
    plan = plan_once(demand, room)
    for change in (
        _checkpoint, _shrink_batches, _small_moments, _shrink_batches, _quantise, _shrink_batches,
        _fewer_beams, _shrink_batches,
    ):  # fmt: skip
        changed = change(demand, plan)
        if changed is None:
            continue
        option, demand = changed
        plan = plan_once(demand, room)
        said.append(f"--set {option}: {plan.bytes / GB:.1f} GB{', fits' if plan.fits else ''}")
        if plan.fits:
            return tuple(said)
    return (*said, "Then give a smaller --llm, or a larger GPU.")


def _checkpoint(demand: Demand, plan: MemoryPlan) -> tuple[str, Demand] | None:
    if demand.tune.activation_checkpointing or total(plan.training) <= plan.room:
        return None
    return "activation_checkpointing=true", demand.with_settings(activation_checkpointing=True)


def _shrink_batches(demand: Demand, plan: MemoryPlan) -> tuple[str, Demand] | None:
    """Take the largest batches with which the run fits, a whole number of its longest clips."""
    longest = demand.longest_tokens((*demand.train, *demand.dev))
    fits, too_many = None, max(2, -(-demand.tune.training.batch_tokens // longest))
    clips = 1
    while clips < too_many:
        training = replace(demand.tune.training, batch_tokens=clips * longest)
        smaller = demand.with_settings(training=training)
        if not plan_once(smaller, plan.room).fits:
            break
        fits = (f"training.batch_tokens={training.batch_tokens}", smaller)
        clips += 1
    return fits


def _small_moments(demand: Demand, plan: MemoryPlan) -> tuple[str, Demand] | None:
    """Keep the optimiser's moments in 8 bits: of LoRA alone they are too small to matter."""
    training = demand.tune.training
    if demand.tune.train != "full" or training.optimiser != "adamw":
        return None
    smaller = replace(training, optimiser="adamw8bit")
    return "training.optimiser=adamw8bit", demand.with_settings(training=smaller)


def _quantise(demand: Demand, plan: MemoryPlan) -> tuple[str, Demand] | None:
    if demand.tune.quantise == "nf4":
        return None
    if demand.tune.train == "full":  # weights in few bits cannot be trained
        lighter = demand.with_settings(train="lora+projector", quantise="nf4")
        return "train=lora+projector --set quantise=nf4", lighter
    return "quantise=nf4", demand.with_settings(quantise="nf4")


def _fewer_beams(demand: Demand, plan: MemoryPlan) -> tuple[str, Demand] | None:
    decoding = demand.tune.decoding
    if decoding.num_beams == 1 or total(plan.generation) <= plan.room:
        return None
    return "decoding.num_beams=1", demand.with_settings(decoding=replace(decoding, num_beams=1))
