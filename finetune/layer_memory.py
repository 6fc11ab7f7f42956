"""What one layer keeps for the backward pass, and what it takes while it works: measured, not from a formula.

Usual formulas miss what peft adds (inputs cast to fp32, dropout's copies, one more product for each matrix).
So models of one and two layers of the real config, with LoRA as ``fla tune`` adds it, run a training step on
tensors that have shapes but no memory, at a few lengths; what the second layer added is one layer's.
"""

import json
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Any, Literal

import numpy as np
import torch
from torch._subclasses.fake_tensor import DataDependentOutputException
from transformers import PretrainedConfig

from ..core.errors import ModelError
from .config import LoraSettings, Quantise
from .cuda_rules import CudaRules
from .layer_model import lora_model
from .live_bytes import LiveBytes, shapes_only, without_memory
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
    """Shapes alone do not tell: layers depend on numbers (experts), or the whole model is trained."""


def measure_tower(
    config: PretrainedConfig, part: Part, *, quantise: Quantise, dtype: torch.dtype, lora: LoraSettings,
    checkpointing: bool,
) -> Tower:  # fmt: skip
    """Return what the layers of ``config`` take, computing in ``dtype``; no weights are made.

    int8 layers are measured as unquantised ones: what bitsandbytes keeps for them is not known on the CPU.
    """
    return _measured(config.to_json_string(), part, quantise, dtype, lora, checkpointing)


@lru_cache(maxsize=64)
def _measured(
    config_json: str,
    part: Part,
    quantise: Quantise,
    dtype: torch.dtype,
    lora: LoraSettings,
    checkpointing: bool,
) -> Tower:
    config = config_from(json.loads(config_json), name="config.json")
    cross = config.is_encoder_decoder and part == "decoder"
    points = POINTS if cross else tuple((length, 0) for length in LENGTHS)

    def bytes_of(layers: int) -> np.ndarray:
        """Return kept, working and reading bytes (3, points) of a model of so many layers."""
        short = shortened(config, encoder=layers, decoder=layers, positions=MODEL_POSITIONS)
        model = lora_model(short, quantise=quantise, dtype=dtype, lora=lora, checkpointing=checkpointing)
        with shapes_only():
            without_memory(model)
            try:
                return np.array([run_step(model, part, source=s, target=t, dtype=dtype) for s, t in points]).T
            except DataDependentOutputException as error:
                raise UnmeasurableError(
                    f"Memory of a {config.model_type} cannot be foretold: {error.func} depends on numbers.\n"
                    "Try it: fla tune --limit 50"
                ) from error

    one, two = bytes_of(1), bytes_of(2)
    layer = two[0] - one[0]
    rows = (layer, one[0] - layer, one[1], one[2])
    names = ("layer", "outside", "working", "reading")
    return Tower(**dict(zip(names, (_grown(row, points, cross) for row in rows), strict=True)))


def run_step(model: Any, part: Part, *, source: int, target: int, dtype: torch.dtype) -> tuple[int, int, int]:
    """Run one step of :data:`CLIPS` clips, and a forward pass without gradients.

    Returns:
        Bytes kept after the forward pass, taken on top of them in the backward pass, and taken at most
        without gradients.
    """
    embeds = torch.empty(CLIPS, source, model.get_input_embeddings().embedding_dim, dtype=dtype)
    inputs = {"embeds": embeds.requires_grad_(), "mask": torch.ones(CLIPS, source, dtype=torch.long)}
    inputs["ids"] = torch.ones(CLIPS, target, dtype=torch.long)
    mixed = torch.autocast("cpu", dtype=dtype, enabled=dtype != torch.float32)
    known = [*model.parameters(), *model.buffers(), *inputs.values()]
    with CudaRules():
        with LiveBytes(known) as live, mixed, torch.no_grad():
            _states(model.eval(), part, **inputs)
        reading = live.peak
        with LiveBytes(known) as live:
            with mixed:
                states = _states(model.train(), part, **inputs)
            live.restart()
            kept = live.peak
            _backward(states)
    model.zero_grad()
    return kept, live.peak - kept, reading


def _backward(states: torch.Tensor) -> None:
    """Pass ones back; ``backward()`` would switch the rules off, and layers are computed again inside it."""
    engine: Any = torch.autograd.Variable._execution_engine
    engine.run_backward(
        (states,), (torch.ones_like(states),), False, False, (), allow_unreachable=True, accumulate_grad=True
    )


def _states(
    model: Any, part: Part, *, embeds: torch.Tensor, mask: torch.Tensor, ids: torch.Tensor
) -> torch.Tensor:
    """Return the tower's last hidden states, called as the families of ``family.py`` call it."""
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
