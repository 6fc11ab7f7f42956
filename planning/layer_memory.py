"""What one layer keeps for the backward pass, and what it takes while it works: measured, not from a formula.

Usual formulas miss what peft adds (inputs cast to fp32, dropout's copies, one more product for each matrix).
So models of one and two layers of the real config, with LoRA as ``fla tune`` adds it, run a training step on
tensors that have shapes but no memory, at a few lengths; what the second layer added is one layer's. What
does not grow with lengths (gradients, autocast's copies of weights) is counted elsewhere.
"""

import json
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Any, Literal

import numpy as np
import torch
from transformers import PretrainedConfig

from ..core.errors import ModelError
from ..llm.config import LoraSettings, Quantise
from .cuda_rules import CudaRules
from .layer_model import trained_model
from .live_bytes import DependsOnNumbers, LiveBytes, shapes_only, without_memory
from .skeleton import config_from, shortened

CLIPS = 4
LENGTHS = (128, 256, 384)
POINTS = ((128, 32), (256, 32), (384, 32), (128, 64), (256, 64), (128, 128))
"""Positions at which a tower is measured; of source and target where it reads an encoder's states."""
MODEL_POSITIONS = 512


@dataclass(frozen=True, kw_only=True)
class Growth:
    """Bytes of one clip by its lengths: linear and quadratic, never falling."""

    coefficients: tuple[float, ...]
    """Of S, S², L, SL and L², for S positions of the source and L of the target."""

    def __call__(self, source: int, target: int = 0) -> float:
        """Return the bytes of one clip."""
        terms = (source, source**2, target, source * target, target**2)
        return sum(c * term for c, term in zip(self.coefficients, terms, strict=True))


@dataclass(frozen=True, kw_only=True)
class Tower:
    """What the layers of an encoder or of a decoder take for one clip."""

    layer: Growth
    """Kept by a layer until its backward pass: its input alone, with checkpointing."""
    outside: Growth
    """Kept once, whatever the number of layers: mask, positions, last norm."""
    working: Growth
    """On top of what is kept, while one layer is computed again and passed back through."""
    reading: Growth
    """At most, while the layers read their input without gradients, as generation begins."""


Part = Literal["encoder", "decoder"]


class UnmeasurableError(ModelError):
    """Shapes alone do not tell: layers depend on numbers (experts)."""


def measure_tower(
    config: PretrainedConfig, part: Part, *, quantise: Quantise, dtype: torch.dtype,
    lora: LoraSettings | None, checkpointing: bool, full: bool = False,
) -> Tower:  # fmt: skip
    """Return what the layers of ``config`` take, computing in ``dtype``; no weights are made.

    Args:
        config: of the model.
        part: which of its towers.
        quantise: format of its linear layers.
        dtype: what is computed in.
        lora: its adapters; None where none are trained.
        checkpointing: recompute activations in the backward pass.
        full: every weight is trained, in fp32.

    Raises:
        UnmeasurableError: a layer's shapes depend on numbers.
    """
    return _measured(config.to_json_string(), part, quantise, dtype, lora, checkpointing, full)


@lru_cache(maxsize=64)
def _measured(
    config_json: str,
    part: Part,
    quantise: Quantise,
    dtype: torch.dtype,
    lora: LoraSettings | None,
    checkpointing: bool,
    full: bool,
) -> Tower:
    config = config_from(json.loads(config_json), name="config.json")
    cross = config.is_encoder_decoder and part == "decoder"
    points = POINTS if cross else tuple((length, 0) for length in LENGTHS)
    held = torch.float32 if full else dtype

    def model_of(layers: int) -> Any:
        short = shortened(config, encoder=layers, decoder=layers, positions=MODEL_POSITIONS)
        return trained_model(
            short, quantise=quantise, dtype=held, lora=lora, checkpointing=checkpointing, full=full
        )

    one, two = model_of(1), model_of(2)
    with shapes_only():
        for model in (one, two):
            without_memory(model)
        try:
            rows = [run_step(one, part, source=s, target=t, dtype=dtype) for s, t in points]
            deeper = [run_forward(two, part, source=s, target=t, dtype=dtype) for s, t in points]
        except DependsOnNumbers as error:
            raise UnmeasurableError(
                f"Memory of a {config.model_type} cannot be foretold: {error.func} depends on numbers.\n"
                "Try it: fla tune --limit 50"
            ) from error
    kept, working, reading = np.array(rows).T
    layer = np.array(deeper) - kept
    found = {"layer": layer, "outside": kept - layer, "working": working, "reading": reading}
    return Tower(**{name: _grown(row, points, cross) for name, row in found.items()})


def run_step(model: Any, part: Part, *, source: int, target: int, dtype: torch.dtype) -> tuple[int, int, int]:
    """Run one step of :data:`CLIPS` clips, and a forward pass without gradients.

    Returns:
        Bytes kept after the forward pass, taken on top of them in the backward pass, and taken at most
        without gradients.
    """
    inputs = _inputs(model, source, target)
    with CudaRules():
        with _live(model, inputs) as live, _mixed(dtype), torch.no_grad():
            _states(model.eval(), part, **inputs)
        reading = live.peak
        with _live(model, inputs) as live:
            with _mixed(dtype):
                states = _states(model.train(), part, **inputs)
            reached = states.sum()  # the gradient of a sum takes no room
            del states
            live.restart()
            kept = live.peak
            pass_back(reached)
    model.zero_grad()
    return kept, live.peak - kept, reading


def run_forward(model: Any, part: Part, *, source: int, target: int, dtype: torch.dtype) -> int:
    """Return the bytes kept after the forward pass of :data:`CLIPS` clips."""
    inputs = _inputs(model, source, target)
    with CudaRules(), _live(model, inputs) as live:
        with _mixed(dtype):
            reached = _states(model.train(), part, **inputs).sum()
        kept = live.now()
    del reached  # until here it holds what is kept
    return kept


def _live(model: Any, inputs: dict[str, torch.Tensor]) -> LiveBytes:
    return LiveBytes([*model.parameters(), *model.buffers(), *inputs.values()])


def _mixed(dtype: torch.dtype) -> torch.autocast:
    return torch.autocast("cpu", dtype=dtype, enabled=dtype != torch.float32)


def _inputs(model: Any, source: int, target: int) -> dict[str, torch.Tensor]:
    embed = model.get_input_embeddings()
    embeds = torch.empty(CLIPS, source, embed.embedding_dim, dtype=embed.weight.dtype, requires_grad=True)
    mask = torch.ones(CLIPS, source, dtype=torch.long)
    mask[0, -1] = 0  # padding, as nearly every batch has: without it transformers may leave the mask out
    return {
        "embeds": embeds,
        "mask": mask,
        "ids": torch.ones(CLIPS, target, dtype=torch.long),
    }


def pass_back(reached: torch.Tensor) -> None:
    """Pass a gradient of ones back through what gave ``reached``.

    ``backward()`` would switch the rules off, and layers are computed again inside it.
    """
    engine: Any = torch.autograd.Variable._execution_engine
    engine.run_backward(
        (reached,),
        (torch.ones_like(reached),),
        False,
        False,
        (),
        allow_unreachable=True,
        accumulate_grad=True,
    )


def _states(
    model: Any, part: Part, *, embeds: torch.Tensor, mask: torch.Tensor, ids: torch.Tensor
) -> torch.Tensor:
    """Return the tower's last hidden states, called as the classes of ``llm/conditioned_lm.py`` call it."""
    if part == "encoder":
        return model.get_encoder()(inputs_embeds=embeds, attention_mask=mask).last_hidden_state
    if not model.config.is_encoder_decoder:
        return model.get_decoder()(
            inputs_embeds=embeds, attention_mask=mask, use_cache=False
        ).last_hidden_state
    return model.get_decoder()(
        input_ids=ids, encoder_hidden_states=embeds, encoder_attention_mask=mask, use_cache=False
    ).last_hidden_state


def _grown(row: np.ndarray, points: Sequence[tuple[int, int]], cross: bool) -> Growth:
    """Fit bytes of a batch at ``points``; what does not grow with them is LoRA's, counted elsewhere.

    Where another moment of the step is the largest at another length, the fit is raised to cover all points.
    """
    terms = np.array([(1, s, s**2, t, s * t, t**2)[: 6 if cross else 3] for s, t in points], dtype=float)
    found = np.linalg.solve(terms, row)
    constant, slopes = max(found[0], 0), found[1:].clip(min=0)
    predicted = terms[:, 1:] @ slopes
    missing = ((row - constant) / np.maximum(predicted, 1)).max()
    padded = np.zeros(5)
    padded[: len(slopes)] = slopes * max(missing, 1) / CLIPS
    return Growth(coefficients=tuple(padded.tolist()))
