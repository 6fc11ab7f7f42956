"""Activations and FLOPs of the layers of a model, counted on forward passes of small models.

Usual formulas miss the additions of peft: copies of inputs, dropout masks, another product for each matrix.
So the layers of the real config run on the meta device at a few lengths, with the LoRA of ``fla tune``. The
difference between two layers and one layer is the cost of a layer. Bytes that do not grow with lengths are
copies of weights, which are counted elsewhere.
"""

import inspect
import json
from dataclasses import dataclass
from functools import lru_cache
from typing import Any, Literal

import numpy as np
import torch
from torch import Tensor, nn
from transformers import PretrainedConfig

from ..core.errors import ModelError
from ..llm.config import LoraSettings, Quantise
from ..llm.lora import add_lora
from ..llm.quantisation import prepare_frozen
from .cuda_precision import CudaPrecision
from .model_shapes import build_on_meta, config_from, quantised_names, shortened
from .saved_bytes import AliveBytes, SavedBytes

Part = Literal["encoder", "decoder"]
KEEPS_INPUT = "fla_keeps_input"
CLIPS = 4
POINTS = ((128, 32), (256, 32), (384, 32), (128, 64), (256, 64), (128, 128))
"""Measured lengths of source and target. A stack without a target uses the first three source lengths."""
GRADIENTS_IN_FLIGHT = 2
"""Further tensors in the backward pass of a layer, each as large as the largest. Estimated."""


@dataclass(frozen=True, kw_only=True)
class MemoryPolynomial:
    """Bytes (or FLOPs) of a clip by length: linear and quadratic terms, never falling."""

    coefficients: tuple[float, ...]
    """Coefficients of S, S², L, SL and L², for S positions of the source and L of the target."""

    def __call__(self, source: int, target: int = 0) -> float:
        """Return the value for a clip."""
        terms = (source, source**2, target, source * target, target**2)
        return sum(c * term for c, term in zip(self.coefficients, terms, strict=True))


@dataclass(frozen=True, kw_only=True)
class LayerStack:
    """Memory and work of the layers of an encoder or a decoder, for a clip."""

    layer: MemoryPolynomial
    """Kept by a layer until the backward pass of the layer."""
    checkpoint: MemoryPolynomial
    """Kept by a layer with activation checkpointing: the layer input, and the inputs of int8 products."""
    outside: MemoryPolynomial
    """Kept once, whatever the number of layers: mask, positions, last norm."""
    in_flight: MemoryPolynomial
    """Gradients of activations during the backward pass of a layer. An estimate."""
    reading: MemoryPolynomial
    """Peak without gradients, while the layers read the whole input at the start of generation."""
    layer_flops: MemoryPolynomial
    """FLOPs of a layer's forward pass."""


class UnmeasurableError(ModelError):
    """Shapes alone do not tell the memory: layers depend on numbers (experts)."""


def measure_stack(
    config: PretrainedConfig, part: Part, *, quantise: Quantise, dtype: torch.dtype,
    lora: LoraSettings | None, full: bool = False,
) -> LayerStack:  # fmt: skip
    """Return memory and work of the layers of ``config``, computing in ``dtype``. No weights are made.

    Args:
        config: config of the model.
        part: the stack of layers.
        quantise: format of the linear layers.
        dtype: format of products.
        lora: settings of the adapters. None without adapters.
        full: whether every weight is trained, in fp32.

    Raises:
        UnmeasurableError: shapes in a layer depend on numbers.
    """
    # A config is not hashable, but the JSON text is: remedies measure the same model many times.
    return _measure(config.to_json_string(), part, quantise, dtype, lora, full)


@lru_cache(maxsize=64)
def _measure(
    config_json: str,
    part: Part,
    quantise: Quantise,
    dtype: torch.dtype,
    lora: LoraSettings | None,
    full: bool,
) -> LayerStack:
    config = config_from(json.loads(config_json), name="config.json")
    # Trained weights are fp32, and autocast makes the copies that products need.
    held = torch.float32 if full else dtype
    one, two = (
        trained_on_meta(shortened(config, layers=n), quantise=quantise, dtype=held, lora=lora, full=full)
        for n in (1, 2)
    )
    cross = config.is_encoder_decoder and part == "decoder"
    points = POINTS if cross else tuple((source, 0) for source, _ in POINTS[:3])
    try:
        rows = [_row(one, two, part, source=source, target=target, dtype=dtype) for source, target in points]
    except RuntimeError as error:
        if not _needs_numbers(error):
            raise
        reason = str(error).strip().partition("\n")[0]
        raise UnmeasurableError(
            f"The memory of a {config.model_type} cannot be estimated from shapes: {reason}\n"
            "Try it: fla tune --limit 50"
        ) from error
    names = ("layer", "checkpoint", "outside", "in_flight", "reading", "layer_flops")
    columns = zip(names, np.array(rows).T, strict=True)
    return LayerStack(**{name: _fit(column, points, cross) for name, column in columns})


def _needs_numbers(error: RuntimeError) -> bool:
    """Tell whether torch raised ``error`` because a tensor on the meta device was asked for numbers."""
    # torch has no class for it: sizes that depend on numbers are not implemented, and single numbers
    # (``item``, ``bool``, ``repeat_interleave``) are refused in a sentence that names meta tensors.
    return isinstance(error, NotImplementedError) or "meta tensor" in str(error)


def trained_on_meta(
    config: PretrainedConfig, *, quantise: Quantise, dtype: torch.dtype, lora: LoraSettings | None, full: bool
) -> Any:
    """Return the model of ``fla tune`` on the meta device, with unpacked matrices for quantised layers."""
    model = build_on_meta(config, dtype=dtype)
    for name in quantised_names(model, quantise):
        linear = model.get_submodule(name)
        # bitsandbytes computes in its own format and returns the input's.
        linear.register_forward_hook(lambda _, args, out: out.to(args[0].dtype))
        # Its int8 product keeps the input where neither autograd's hooks nor checkpointing see the tensor.
        setattr(linear, KEEPS_INPUT, quantise == "int8")
    prepare_frozen(model, activation_checkpointing=False)
    if lora is None:
        return model.requires_grad_(full)
    for module in list[Any](add_lora(model, lora).modules()):
        if quantise != "none" and dtype != torch.float32 and hasattr(module, "cast_input_dtype_enabled"):
            module.cast_input_dtype_enabled = False  # peft's packed layers do not cast under CUDA's autocast
    return model


def _row(
    one: Any, two: Any, part: Part, *, source: int, target: int, dtype: torch.dtype
) -> tuple[float, ...]:
    """Return the values of a :class:`LayerStack` for a batch, from models with one and two layers."""
    first, second = (_count(m, part, source=source, target=target, dtype=dtype) for m in (one, two))
    layer = second["kept"] - first["kept"]
    reading = _alive(one, part, source=source, target=target, dtype=dtype)
    return (
        layer, second["checkpoints"] - first["checkpoints"], first["kept"] - layer,
        GRADIENTS_IN_FLIGHT * first["largest"], reading, second["flops"] - first["flops"],
    )  # fmt: skip


def _count(model: Any, part: Part, *, source: int, target: int, dtype: torch.dtype) -> dict[str, float]:
    """Return the counts of a forward pass of :data:`CLIPS` clips."""
    inputs, stack = _inputs(model, part, source=source, target=target), _stack(model, part)
    # Hidden states come first among the inputs of every layer of transformers.
    layers = next(module for module in stack.modules() if isinstance(module, nn.ModuleList))
    saved = SavedBytes([*model.parameters(), *model.buffers(), *inputs.values()])
    checkpoints = SavedBytes()
    keeping = [module for module in stack.modules() if getattr(module, KEEPS_INPUT, False)]
    handles = [checkpoints.watch(module) for module in (*layers, *keeping)]
    handles += [saved.watch(module) for module in keeping]
    precision = CudaPrecision(dtype)
    with torch.device("meta"), precision, saved:
        states = _run(stack.train(), inputs)
    del states
    for handle in handles:
        handle.remove()
    return {
        "kept": saved.total, "largest": saved.largest, "checkpoints": checkpoints.total,
        "flops": precision.flops,
    }  # fmt: skip


def _alive(model: Any, part: Part, *, source: int, target: int, dtype: torch.dtype) -> int:
    """Return the bytes alive at most while :data:`CLIPS` clips are read without gradients."""
    alive, inputs = AliveBytes(), _inputs(model, part, source=source, target=target)
    with torch.no_grad(), torch.device("meta"), alive, CudaPrecision(dtype):
        _run(_stack(model, part).eval(), inputs)
    return alive.peak


def _stack(model: Any, part: Part) -> Any:
    return model.get_encoder() if part == "encoder" else model.get_decoder()


def _run(stack: Any, inputs: dict[str, Tensor]) -> Tensor:
    # Training keeps no cache of keys and values. Generation counts the cache apart (cache_bytes).
    cache = {"use_cache": False} if "use_cache" in inspect.signature(stack.forward).parameters else {}
    return stack(**inputs, **cache).last_hidden_state


def _inputs(model: Any, part: Part, *, source: int, target: int) -> dict[str, Tensor]:
    """Return the inputs of a stack in the calls of ``llm/``, with masks as for a padded batch."""
    words = model.get_input_embeddings()
    # A mask of four dimensions is taken as it is; making one from lengths would need numbers.
    kind = torch.bool if model.config._attn_implementation == "sdpa" else words.weight.dtype
    cross = part == "decoder" and model.config.is_encoder_decoder
    read = target if cross else source
    with torch.device("meta"):
        # The states need gradients, because the projector before the model is trained.
        states = torch.empty(CLIPS, source, words.embedding_dim, dtype=words.weight.dtype, requires_grad=True)
        mask = torch.ones(CLIPS, 1, read, read, dtype=kind)
        if not cross:
            return {"inputs_embeds": states, "attention_mask": mask}
        return {
            "input_ids": torch.ones(CLIPS, target, dtype=torch.long), "attention_mask": mask,
            "encoder_hidden_states": states,
            "encoder_attention_mask": torch.ones(CLIPS, 1, target, source, dtype=kind),
        }  # fmt: skip


def _fit(column: np.ndarray, points: tuple[tuple[int, int], ...], cross: bool) -> MemoryPolynomial:
    """Fit the values of a batch at ``points``, without the constant part.

    The polynomial is raised to cover all points, because the largest tensor may change with the length.
    """
    terms = np.array([(1, s, s**2, t, s * t, t**2)[: 6 if cross else 3] for s, t in points], dtype=float)
    # A negative slope would let an estimate shrink for longer clips, so slopes are cut at 0.
    found = np.linalg.solve(terms, column)
    constant, slopes = max(found[0], 0), found[1:].clip(min=0)
    missing = ((column - constant) / np.maximum(terms[:, 1:] @ slopes, 1)).max()
    padded = np.zeros(5)
    padded[: len(slopes)] = slopes * max(missing, 1) / CLIPS
    return MemoryPolynomial(coefficients=tuple(padded.tolist()))
