"""A model of a layer or two with LoRA, as ``fla tune`` would train it, on the meta device."""

from typing import Any

import torch
from bitsandbytes.nn.modules import Linear4bit
from torch import nn
from transformers import PretrainedConfig

from .config import LoraSettings, Quantise
from .lora import add_lora
from .quantise import prepare_frozen
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


def lora_model(
    config: PretrainedConfig,
    *,
    quantise: Quantise,
    dtype: torch.dtype,
    lora: LoraSettings,
    checkpointing: bool,
) -> Any:
    """Return the model of a short config as ``fla tune`` trains it, on the meta device."""
    model = skeleton(config, dtype=dtype)
    if quantise == "nf4":
        for name in quantised_names(model, quantise):
            model.set_submodule(name, PackedLinear(model.get_submodule(name), dtype=dtype))
        model.is_loaded_in_4bit = True  # peft then takes its 4-bit layer
    prepare_frozen(model, activation_checkpointing=checkpointing)
    for module in list[Any](add_lora(model, lora).modules()):
        if quantise == "nf4" and dtype != torch.float32 and hasattr(module, "cast_input_dtype_enabled"):
            module.cast_input_dtype_enabled = False  # under CUDA's autocast peft's 4-bit layer does not cast
    return model
