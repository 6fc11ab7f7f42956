"""A model of a layer or two as ``fla tune`` would train it, on the meta device."""

from typing import Any

import torch
from bitsandbytes.autograd._functions import MatMul8bitLt, MatmulLtState
from bitsandbytes.nn.modules import Linear4bit, Linear8bitLt
from torch import nn
from transformers import PretrainedConfig

from ..llm.config import LoraSettings, Quantise
from ..llm.lora import add_lora
from ..llm.quantisation import prepare_frozen
from .skeleton import quantised_names, skeleton


class PackedLinear(Linear4bit):
    """What bitsandbytes' 4-bit layer does to activations, without its packed weights.

    They cannot be made without memory; unpacked for a multiplication, they are this weight, and the plan
    counts that matrix by itself.
    """

    def __init__(self, linear: nn.Linear, *, dtype: torch.dtype) -> None:
        nn.Module.__init__(self)
        self.in_features, self.out_features = linear.in_features, linear.out_features
        self.weight, self.bias = linear.weight, linear.bias
        weight: Any = self.weight
        weight.compress_statistics, weight.quant_type = True, "nf4"  # peft asks for them
        self.compute_dtype = dtype

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Multiply in the compute format and give the input's back, as ``Linear4bit.forward`` does."""
        return nn.functional.linear(x.to(self.compute_dtype), self.weight, self.bias).to(x.dtype)


class Int8Linear(Linear8bitLt):
    """bitsandbytes' 8-bit layer as it stands on CUDA: its own product, on int8 weights without numbers.

    It keeps each input for the backward pass where checkpointing does not see it, as the real one does. No
    input has outliers here: how many columns are computed apart is known from numbers alone.
    """

    def __init__(self, linear: nn.Linear) -> None:
        nn.Module.__init__(self)
        self.in_features, self.out_features = linear.in_features, linear.out_features
        self.weight = nn.Parameter(torch.empty_like(linear.weight, dtype=torch.int8), requires_grad=False)
        self.bias = linear.bias
        self.scales = nn.Buffer(torch.empty(linear.out_features, device=linear.weight.device))
        self.index: Any = None
        self.state = MatmulLtState()  # peft asks for it

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Multiply as ``bitsandbytes.matmul`` does on CUDA; on a CPU it would take another way."""
        state = MatmulLtState(CB=self.weight, SCB=self.scales)
        state.has_fp16_weights = False
        return MatMul8bitLt.apply(x, self.weight, None, self.bias, state)


def trained_model(
    config: PretrainedConfig,
    *,
    quantise: Quantise,
    dtype: torch.dtype,
    lora: LoraSettings | None,
    checkpointing: bool,
    full: bool = False,
) -> Any:
    """Return the model of a short config as ``fla tune`` trains it, on the meta device.

    Args:
        config: of the model.
        quantise: format of its linear layers.
        dtype: format of everything else.
        lora: its adapters; None where none are trained.
        checkpointing: recompute activations in the backward pass.
        full: every weight is trained.
    """
    model = skeleton(config, dtype=dtype)
    _pack(model, quantise, dtype=dtype)
    prepare_frozen(model, activation_checkpointing=checkpointing)
    if lora is None:
        return model.requires_grad_(full)
    for module in list[Any](add_lora(model, lora).modules()):
        if quantise != "none" and dtype != torch.float32 and hasattr(module, "cast_input_dtype_enabled"):
            module.cast_input_dtype_enabled = False  # under CUDA's autocast peft's packed layers do not cast
    return model


def _pack(model: Any, quantise: Quantise, *, dtype: torch.dtype) -> None:
    """Put layers in place of those that are quantised; peft then takes its own for each kind."""
    for name in quantised_names(model, quantise):
        linear = model.get_submodule(name)
        packed = PackedLinear(linear, dtype=dtype) if quantise == "nf4" else Int8Linear(linear)
        model.set_submodule(name, packed)
    model.is_loaded_in_4bit, model.is_loaded_in_8bit = quantise == "nf4", quantise == "int8"
