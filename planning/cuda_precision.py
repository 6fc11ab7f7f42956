"""Number formats of CUDA's autocast, on tensors without memory.

Autocast does not exist on the meta device, and a CPU's autocast keeps other tensors: counted on the eight
models of docs/measurements/plan.md, 8 to 68 % more for the backward pass. Three rules make the difference:
dropout keeps a mask of one byte a number, norms, powers and softmax run in fp32, and fused attention keeps
inputs and output but no matrix of scores. The rules come from torch's documentation and source.
"""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional as F
from torch.overrides import TorchFunctionMode

WEIGHTED = {F.linear, F.conv1d, F.conv2d}
PRODUCTS = {
    *WEIGHTED, torch.matmul, torch.bmm, Tensor.matmul, Tensor.__matmul__,
}  # fmt: skip
IN_FP32 = {
    F.layer_norm, torch.layer_norm, torch.pow, Tensor.pow, Tensor.__pow__, torch.rsqrt, Tensor.rsqrt,
}  # fmt: skip
SOFTMAX = {F.softmax, torch.softmax, Tensor.softmax}


class CudaPrecision(TorchFunctionMode):
    """Run each call in the number format of CUDA's autocast.

    Attributes:
        flops: of all products and of attention so far.
    """

    def __init__(self, dtype: torch.dtype) -> None:
        """Compute products in ``dtype``. fp32 switches autocast off."""
        super().__init__()
        self.dtype = dtype
        self.flops = 0

    def __torch_function__(
        self,
        func: Callable[..., Any],
        types: Sequence[type],
        args: tuple[Any, ...] = (),
        kwargs: Mapping[str, Any] | None = None,
    ) -> Any:
        """Run ``func`` with cast tensors."""
        options = dict(kwargs or {})
        if func is F.scaled_dot_product_attention:
            return self._attention(*args, **options)
        if func is F.dropout:
            return _dropout(*args, **options)
        if func is torch.rand:
            # LayerDrop draws a number for each layer, in transformers before 5.23 also where none is dropped.
            # The number is compared, and the meta device holds none.
            options["device"] = "cpu"
        if self.dtype != torch.float32:
            if func in PRODUCTS:
                args, options = self._cast(args, options, self.dtype)
            elif func in IN_FP32:
                args, options = self._cast(args, options, torch.float32)
            elif func in SOFTMAX and options.get("dtype") is None:
                options["dtype"] = torch.float32
        result = func(*args, **options)
        if func in PRODUCTS:
            # One number of the result takes a row of the weight, or a row of the left factor.
            row = args[1].shape[1:].numel() if func in WEIGHTED else args[0].shape[-1]
            self.flops += 2 * result.numel() * row
        return result

    def _attention(
        self, query: Tensor, key: Tensor, value: Tensor, attn_mask: Tensor | None = None, *_: Any, **__: Any
    ) -> Any:
        query, key, value = self._cast((query, key, value), {}, self.dtype)[0]
        # Two products, scores and weighted values, each with two FLOPs for a multiplication and a sum.
        self.flops += 4 * query.numel() * key.shape[-2]
        # Each layer turns a mask of truth values into a bias of its own.
        return _FusedAttention.apply(
            query, key, value, None if attn_mask is None else attn_mask.to(query.dtype)
        )

    def _cast(
        self, args: tuple[Any, ...], options: dict[str, Any], dtype: torch.dtype
    ) -> tuple[Any, dict[str, Any]]:
        def cast(value: Any) -> Any:
            return value.to(dtype) if isinstance(value, Tensor) and value.is_floating_point() else value

        if self.dtype == torch.float32:
            return args, options
        return tuple(map(cast, args)), {name: cast(value) for name, value in options.items()}


class _FusedAttention(torch.autograd.Function):
    """Shapes kept by fused attention: inputs, output and a single fp32 number for each row."""

    @staticmethod
    def forward(ctx: Any, query: Tensor, key: Tensor, value: Tensor, mask: Tensor | None) -> Tensor:
        output = query.new_empty((*query.shape[:-1], value.shape[-1]))
        # Fused kernels compute the scores again in the backward pass, from one number for each row.
        normaliser = query.new_empty(query.shape[:-1], dtype=torch.float32)
        ctx.save_for_backward(query, key, value, mask, output, normaliser)
        return output


def _dropout(input: Tensor, p: float = 0.5, training: bool = True, inplace: bool = False) -> Tensor:
    # native_dropout keeps a byte for each number, as on CUDA. F.dropout would keep a mask in the input format
    # outside CUDA.
    return torch.native_dropout(input, p, True)[0] if training and p else input
