"""Quantisation with bitsandbytes, and preparation of a frozen model for training.

The helper of peft is not used. That helper casts every weight that is not quantised to fp32 (2.3 GiB more
for Qwen3-8B, 7.6 GiB for mT5-xxl), and training does not need fp32 there.
"""

from typing import TYPE_CHECKING, Any

import torch

from ..core.errors import ModelError

if TYPE_CHECKING:
    from transformers import BitsAndBytesConfig, PreTrainedModel

    from .config import Quantise


def quantisation_config(kind: "Quantise", *, compute_dtype: torch.dtype) -> "BitsAndBytesConfig | None":
    """Return the ``quantization_config`` of ``from_pretrained``, or None for ``none``."""
    from transformers import BitsAndBytesConfig

    if kind == "none":
        return None
    if kind == "int8":
        return BitsAndBytesConfig(load_in_8bit=True)
    # The defaults of the library (fp4, fp32 compute, no double quantisation) are not the QLoRA settings.
    return BitsAndBytesConfig(
        load_in_4bit=True,
        bnb_4bit_quant_type="nf4",
        bnb_4bit_use_double_quant=True,
        bnb_4bit_compute_dtype=compute_dtype,
    )


def check_quantised(given: dict[str, Any], *, quantise: "Quantise", source: str) -> None:
    """Refuse quantised weights, except NF4 weights for an NF4 run.

    Args:
        given: quantisation settings in the config of the model.
        quantise: wanted format.
        source: model as the user named it.

    Raises:
        ModelError: the weights are in another format, or in NF4 while ``quantise`` is not nf4.
    """
    method = given.get("bnb_4bit_quant_type") if given.get("load_in_4bit") else given.get("quant_method")
    if method != "nf4":
        raise ModelError(
            f"{source} must be unquantised, or in NF4, but is quantised already: {method}.\n"
            "Give the model it was made from."
        )
    if quantise != "nf4":
        raise ModelError(
            f"{source} holds weights in NF4, so 'quantise' must be nf4, but is {quantise}.\n"
            "Set quantise=nf4, or give the model it was made from."
        )


def prepare_frozen(llm: "PreTrainedModel", *, activation_checkpointing: bool) -> None:
    """Freeze every weight in place. Gradients still pass through the layers.

    Args:
        llm: the loaded model, changed in place.
        activation_checkpointing: recompute activations in the backward pass. Non-reentrant: the reentrant
            form hooks the embedding layer, which ``inputs_embeds`` passes by.
    """
    llm.requires_grad_(False)
    stop_repacking(llm)
    if activation_checkpointing:
        # transformers 5 renamed it; the old name warns there and goes in 6.
        enable = getattr(llm, "activation_checkpointing_enable", llm.gradient_checkpointing_enable)
        enable({"use_reentrant": False})


def stop_repacking(llm: torch.nn.Module) -> None:
    """Stop bitsandbytes from repacking 4-bit weights on CPUs with AVX512-BF16.

    There the first evaluation repacks the weights for an operation that has no backward pass, and training
    goes on with them: gradients through the frozen layers are lost without a word (seen with 0.50.2). The
    operation also fails at widths that are no multiple of its blocks, which vision towers have.
    Called before the model computes anything: what has been repacked stays so.
    """
    for module in llm.modules():
        if hasattr(module, "support_avx512bf16_for_cpu"):
            _switch_off(module)


def _switch_off(module: Any) -> None:
    module.support_avx512bf16_for_cpu = False
