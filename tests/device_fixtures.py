"""A CUDA device without a GPU: tensors that hold shapes alone."""

from collections.abc import Callable, Iterator
from typing import Any

import pytest
import torch
from torch import nn
from torch._subclasses import fake_tensor
from torch._subclasses.fake_tensor import FakeTensorMode
from torch.overrides import TorchFunctionMode

DeviceMismatch: type[Exception] = getattr(fake_tensor, "FakeTensorDeviceMismatchError", RuntimeError)
"""Raised where tensors of two devices meet. torch 2.11 has no class for it."""


@pytest.fixture
def on_fake_cuda(monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[[nn.Module], None]]:
    """Moves a module's weights and buffers to a CUDA device that holds shapes alone.

    No GPU is needed. Where an operation meets a tensor that was left on the CPU it raises an error, as on a
    real device.
    """
    # Without a GPU autocast would switch itself off.
    monkeypatch.setattr("torch.cuda.amp.common.amp_definitely_not_available", lambda: False)
    monkeypatch.setattr(torch.cuda, "is_bf16_supported", lambda: True)
    with FakeTensorMode(allow_non_fake_inputs=True):

        def move(module: nn.Module) -> None:
            # Module.to swaps tensors, which fake ones refuse.
            for part in module.modules():
                for name, weight in part._parameters.items():
                    if weight is not None:
                        fake = torch.empty(weight.shape, dtype=weight.dtype, device="cuda")
                        part._parameters[name] = nn.Parameter(fake, requires_grad=False)
                for name, buffer in part._buffers.items():
                    if buffer is not None:
                        part._buffers[name] = torch.empty(buffer.shape, dtype=buffer.dtype, device="cuda")

        yield move


class Full(TorchFunctionMode):
    """Answers for tensors that hold shapes alone, in a batch without padding: every length is ``length``.

    A mask chooses everything, and a number that is asked for is the length.
    """

    def __init__(self, length: int) -> None:
        super().__init__()
        self.length = length

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        """Answer what needs values; all else is the library's own."""
        name, on_cuda = getattr(func, "__name__", ""), bool(args) and _is_on_cuda(args[0])
        if name == "__getitem__" and on_cuda and getattr(args[1], "dtype", None) == torch.bool:
            tensor, mask = args
            assert tensor.device == mask.device, "a mask must lie where its tensor lies"
            return tensor.flatten(0, mask.ndim - 1)
        if name in ("item", "__int__") and on_cuda:  # tolist() asks for the item of each element
            return self.length
        return func(*args, **(kwargs or {}))


def _is_on_cuda(value: Any) -> bool:
    return isinstance(value, torch.Tensor) and value.device.type == "cuda"
