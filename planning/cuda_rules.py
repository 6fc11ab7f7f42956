"""What CUDA does otherwise than the CPU with the same code, as far as memory is concerned.

So that one layer can be measured without a GPU. Assumed of CUDA, by torch's documentation and sources, not
measured: fused attention keeps queries, keys, values, mask, output and one fp32 number a row, never a matrix
of scores; dropout keeps one byte a number; under autocast, norms, powers and softmax are computed in fp32.
"""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional as F
from torch.overrides import TorchFunctionMode
from torch.utils._pytree import tree_map

IN_FP32 = {F.layer_norm, torch.layer_norm, torch.pow, Tensor.pow, Tensor.__pow__, torch.rsqrt, Tensor.rsqrt}
SOFTMAX = {F.softmax, torch.softmax, Tensor.softmax}


class CudaRules(TorchFunctionMode):
    """Calls that autocast, attention and dropout would treat otherwise on CUDA, treated so on the CPU."""

    def __torch_function__(
        self,
        func: Callable[..., Any],
        types: Sequence[type],
        args: Any = (),
        kwargs: Mapping[str, Any] | None = None,
    ) -> Any:
        """Run ``func`` as CUDA would keep its results."""
        options = dict(kwargs or {})
        if func is F.scaled_dot_product_attention:
            return _attend(*args, **options)
        if func is F.dropout:
            return _dropout(*args, **options)
        if torch.is_autocast_enabled("cpu"):
            if func in IN_FP32:
                args, options = tree_map(_in_fp32, (args, options))
            elif func in SOFTMAX and options.get("dtype") is None:
                options["dtype"] = torch.float32
        return func(*args, **options)


class _FusedAttention(torch.autograd.Function):
    """The inputs and outputs of fused attention, and what it keeps; its numbers are of no use."""

    @staticmethod
    def forward(ctx: Any, query: Tensor, key: Tensor, value: Tensor, mask: Tensor | None) -> Tensor:
        output = query.new_zeros((*query.shape[:-1], value.shape[-1]))
        normaliser = query.new_zeros(query.shape[:-1], dtype=torch.float32)
        ctx.save_for_backward(query, key, value, mask, output, normaliser)
        return output

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> Any:
        query, key, value, *_ = ctx.saved_tensors
        # Kernels add the query's gradient up in fp32.
        return torch.zeros_like(query, dtype=torch.float32).to(query.dtype), key * 0, value * 0, None


def _attend(
    query: Tensor, key: Tensor, value: Tensor, attn_mask: Tensor | None = None, *_: Any, **options: Any
) -> Any:
    if torch.is_autocast_enabled("cpu"):
        dtype = torch.get_autocast_dtype("cpu")
        query, key, value = query.to(dtype), key.to(dtype), value.to(dtype)
    if attn_mask is not None:  # a mask of truth values becomes a bias, at every layer anew
        attn_mask = attn_mask.to(query.dtype)
    return _FusedAttention.apply(query, key, value, attn_mask)


def _dropout(input: Tensor, p: float = 0.5, training: bool = True, inplace: bool = False) -> Tensor:
    if not training or p == 0:
        return input
    return torch.native_dropout(input, p, True)[0]


def _in_fp32(value: Any) -> Any:
    low = isinstance(value, Tensor) and value.dtype in (torch.bfloat16, torch.float16)
    return value.float() if low else value
