"""Remedies: changes of settings, tried in order until the run fits."""

from collections.abc import Callable
from dataclasses import replace

from .memory import GB, total
from .run_spec import MemoryPlan, RunSpec, plan_once

BEAMS_NOTE = (
    "Translating takes more than training here: keys and values of clip and prompt are held once for each of "
    "{beams} beams. Fewer beams (decoding.num_beams) or shorter clips (a larger sampling stride, "
    "projector.kind=conv) save most."
)
Change = Callable[[RunSpec, MemoryPlan], tuple[str, RunSpec] | None]


def plan_memory(run: RunSpec, *, room: int) -> MemoryPlan:
    """Return the plan of a run, with remedies if the run does not fit into ``room`` bytes."""
    plan = plan_once(run, room)
    return plan if plan.fits else replace(plan, remedies=_remedies(run, plan))


def _remedies(run: RunSpec, plan: MemoryPlan) -> tuple[str, ...]:
    """Apply changes until the run fits, and return a line for each."""
    lines: list[str] = []
    beams = run.tune.decoding.num_beams
    if beams > 1 and total(plan.generation) == plan.bytes:
        lines.append(BEAMS_NOTE.format(beams=beams))
    # Activation checkpointing costs time alone and comes first. Quantisation may cost quality and comes late.
    for change in (
        _checkpoint, _shrink_batches, _small_moments, _shrink_batches, _quantise, _shrink_batches,
        _fewer_beams, _shrink_batches,
    ):  # fmt: skip
        changed = change(run, plan)
        if changed is None:
            continue
        option, run = changed
        plan = plan_once(run, plan.room)
        lines.append(f"--set {option}: {plan.bytes / GB:.1f} GB{', fits' if plan.fits else ''}")
        if plan.fits:
            return tuple(lines)
    return (*lines, "Then give a smaller --llm, or a larger GPU.")


def _checkpoint(run: RunSpec, plan: MemoryPlan) -> tuple[str, RunSpec] | None:
    if run.tune.activation_checkpointing or total(plan.training) <= plan.room:
        return None
    return "activation_checkpointing=true", run.with_settings(activation_checkpointing=True)


def _shrink_batches(run: RunSpec, plan: MemoryPlan) -> tuple[str, RunSpec] | None:
    """Take the largest fitting batches, in multiples of the longest clip."""
    longest, found = run.longest_tokens((*run.train, *run.dev)), None
    for clips in range(1, max(2, -(-run.tune.training.batch_tokens // longest))):
        training = replace(run.tune.training, batch_tokens=clips * longest)
        smaller = run.with_settings(training=training)
        # Memory grows with the batch, so the first failure ends the search.
        if not plan_once(smaller, plan.room).fits:
            break
        found = (f"training.batch_tokens={training.batch_tokens}", smaller)
    return found


def _small_moments(run: RunSpec, plan: MemoryPlan) -> tuple[str, RunSpec] | None:
    """Keep the moments of the optimiser in 8 bits. The moments of LoRA alone are too small to matter."""
    training = run.tune.training
    if run.tune.train != "full" or training.optimiser != "adamw":
        return None
    smaller = replace(training, optimiser="adamw8bit")
    return "training.optimiser=adamw8bit", run.with_settings(training=smaller)


def _quantise(run: RunSpec, plan: MemoryPlan) -> tuple[str, RunSpec] | None:
    if run.tune.quantise == "nf4":
        return None
    if run.tune.train == "full":  # weights in few bits cannot be trained
        lighter = run.with_settings(train="lora+projector", quantise="nf4")
        return "train=lora+projector --set quantise=nf4", lighter
    return "quantise=nf4", run.with_settings(quantise="nf4")


def _fewer_beams(run: RunSpec, plan: MemoryPlan) -> tuple[str, RunSpec] | None:
    decoding = run.tune.decoding
    if decoding.num_beams == 1 or total(plan.generation) <= plan.room:
        return None
    return "decoding.num_beams=1", run.with_settings(decoding=replace(decoding, num_beams=1))
