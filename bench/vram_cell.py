"""One cell of bench/vram.py in a process of its own: a model, a card's size, a corpus.

    python bench/vram_cell.py '{"model": "Qwen3-4B", "card_gb": 8, "corpus": "PHOENIX14T", ...}'

Prints one JSON object. On CUDA bytes are the allocator's; on a CPU those of the tensors that operations made,
and no card is imitated.
"""

import json
import subprocess
import sys
import time
from collections import defaultdict
from collections.abc import Callable
from dataclasses import asdict, dataclass, replace
from functools import partial
from itertools import cycle
from pathlib import Path
from typing import Any, Protocol

import torch
from torch import Tensor
from vram_model import load_random, make_batch, stage_two
from vram_plan import batches_of, settings_of, shape_of

from fla_llm.finetune.build import base_dtype
from fla_llm.finetune.model import StageTwoModel
from fla_llm.planning.live_bytes import LiveBytes
from fla_llm.planning.memory import GB
from fla_llm.planning.probe import search, train_step
from fla_llm.training.optimisers import make_optimiser

Batch = dict[str, Tensor]


@dataclass(frozen=True, kw_only=True)
class Cell:
    """What is measured."""

    model: str
    card_gb: int
    corpus: str
    steps: int
    """Of training, the corpus' lengths in turns."""
    tiny: bool
    """Whether the model is a small one of the same architecture: a rehearsal."""
    device: str
    context_bytes: int | None
    """What CUDA's context takes of the card; None caps nothing."""


class Meter(Protocol):
    """Counts the bytes of tensors."""

    peak: Any
    """Most at one time since :meth:`restart`."""

    def now(self) -> int:
        """Return the bytes held at this moment."""
        ...

    def restart(self) -> None:
        """Forget the peak so far."""
        ...


class Allocator:
    """CUDA's own count."""

    def __init__(self, device: torch.device) -> None:
        self.device = device

    @property
    def peak(self) -> int:
        return torch.cuda.max_memory_allocated(self.device)

    def now(self) -> int:
        return torch.cuda.memory_allocated(self.device)

    def restart(self) -> None:
        torch.cuda.reset_peak_memory_stats(self.device)


def measure(cell: Cell) -> dict[str, Any]:
    """Return the cell with what was measured, as far as the memory reached."""
    device = torch.device(cell.device)
    found: dict[str, Any] = asdict(cell) | {"device_name": _name(device), "torch": torch.__version__}
    if device.type == "cpu":
        with LiveBytes() as meter:
            _run(cell, found, meter, device)
        return found
    free, whole = torch.cuda.mem_get_info(device)
    if cell.context_bytes is not None:
        found["cap_bytes"] = cell.card_gb * GB - cell.context_bytes
        torch.cuda.set_per_process_memory_fraction(found["cap_bytes"] / whole, device)
    try:
        _run(cell, found, Allocator(device), device)
    except torch.OutOfMemoryError as error:
        found |= {"fits": False, "problem": str(error).partition("\n")[0]}
    left, _ = torch.cuda.mem_get_info(device)
    # What this process took beside tensors since its bare context was there: kernels, paged memory.
    outside = free - left - torch.cuda.memory_reserved(device)
    return found | {"free_before": free, "outside_bytes": outside}


def _run(cell: Cell, found: dict[str, Any], meter: Meter, device: torch.device) -> None:
    """Load, train, translate; ``found`` is filled on the way, so that what came before a failure stays."""
    settings, shapes, start = settings_of(cell.model), batches_of(cell.model, cell.corpus), time.monotonic()
    dtype = base_dtype(settings, device)
    found |= {"stage": "load", "dtype": str(dtype).removeprefix("torch.")}
    found["batches"] = {length: asdict(both) for length, both in shapes.items()}
    loaded = load_random(
        shape_of(cell.model, small=cell.tiny), quantise=settings.quantise, dtype=dtype, device=device
    )  # fmt: skip
    found |= {"weights_bytes": weights_bytes(loaded.model), "allocated_bytes": meter.now()}
    model = stage_two(loaded, settings=settings, device=device)
    found |= {"load_seconds": round(time.monotonic() - start, 1), "stage": "train"}
    batches = {length: _on(device, make_batch(model, shapes[length].train)) for length in reversed(shapes)}
    _train(model, batches, cell.steps, found=found, meter=meter)
    found["stage"] = "search"
    batches = {length: _on(device, make_batch(model, shapes[length].search)) for length in reversed(shapes)}
    _search(model.eval(), batches, found=found, meter=meter)
    found |= {"fits": True, "stage": "done"}


def _train(
    model: StageTwoModel, batches: dict[str, Batch], steps: int, *, found: dict[str, Any], meter: Meter
) -> None:
    """Train on each length in turns, the longest first, as an epoch mixes its batches."""
    optimiser = make_optimiser(model.parameter_groups(), model.config.training)
    peaks: dict[str, int] = defaultdict(int)
    seconds: dict[str, list[float]] = defaultdict(list)
    losses: list[float] = []
    found |= {"training_bytes": peaks, "step_seconds": seconds, "losses": losses}
    for _, (name, batch) in zip(range(steps), cycle(batches.items()), strict=False):
        meter.restart()
        spent, loss = _timed(partial(train_step, model, batch, optimiser))
        seconds[name].append(spent)
        losses.append(round(loss.item(), 4))
        peaks[name] = max(peaks[name], meter.peak)
        _note_reserved(found)


def _search(model: StageTwoModel, batches: dict[str, Batch], *, found: dict[str, Any], meter: Meter) -> None:
    """Search for sentences as long as each batch's own."""
    found |= {"generation_bytes": {}, "search_seconds": {}}
    for name, batch in batches.items():
        decoding = replace(model.config.decoding, max_new_tokens=batch["labels"].shape[1])
        meter.restart()
        found["search_seconds"][name], _ = _timed(partial(search, model, batch, decoding))
        found["generation_bytes"][name] = meter.peak
        _note_reserved(found)


def _note_reserved(found: dict[str, Any]) -> None:
    """Note the most that the allocator has taken from the GPU, with what of it lay idle; 0 without CUDA."""
    most = torch.cuda.max_memory_reserved() if torch.cuda.is_initialized() else 0
    found["reserved_bytes"] = max(found.get("reserved_bytes", 0), most)


def measure_context(cell: Cell) -> dict[str, Any]:
    """Return what a process takes of the GPU besides tensors: bare, and with the kernels of a small run.

    Two processes are needed, since a process cannot see the GPU before it has a context of its own: this one
    keeps its context and looks on, another does the work.
    """
    free, whole = torch.cuda.mem_get_info(cell.device)
    worker = run_cell(cell)
    bare = free - worker["free_before"]
    found = {"bare_bytes": bare, "bytes": bare + worker["outside_bytes"], "total_bytes": whole}
    return {"context": True} | found | {name: worker[name] for name in ("device_name", "torch")}


def run_cell(cell: Cell, *options: str) -> dict[str, Any]:
    """Measure a cell in a process of its own.

    Raises:
        subprocess.CalledProcessError: it failed, and not for want of memory.
    """
    command = [sys.executable, str(Path(__file__).resolve()), json.dumps(asdict(cell)), *options]
    done = subprocess.run(command, stdout=subprocess.PIPE, text=True, check=True)
    return json.loads(done.stdout.splitlines()[-1])


def weights_bytes(model: Any) -> int:
    """Return the bytes of a language model's tensors, the scales of packed ones included."""
    packed = [getattr(parameter, "quant_state", None) for parameter in model.parameters()]
    scales = [
        t
        for s in packed
        if s is not None
        for t in (s.absmax, s.code, s.offset, s.state2.absmax, s.state2.code)
    ]
    return sum(tensor.nbytes for tensor in (*model.parameters(), *scales, *model.buffers()))


def _timed(work: Callable[[], Any]) -> tuple[float, Any]:
    start = time.perf_counter()
    result = work()
    if torch.cuda.is_initialized():
        torch.cuda.synchronize()
    return round(time.perf_counter() - start, 4), result


def _on(device: torch.device, batch: Batch) -> Batch:
    return {name: tensor.to(device) for name, tensor in batch.items()}


def _name(device: torch.device) -> str:
    return torch.cuda.get_device_name(device) if device.type == "cuda" else "cpu"


if __name__ == "__main__":
    asked = Cell(**json.loads(sys.argv[1]))
    print(json.dumps(measure_context(asked) if "--context" in sys.argv else measure(asked)))
