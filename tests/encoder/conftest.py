from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn
from torch._subclasses.fake_tensor import FakeTensorMode

from fla_llm.encoder.config import EncoderConfig
from fla_llm.encoder.model import VisualEncoder

MakeEncoder = Callable[..., VisualEncoder]


@pytest.fixture
def make_encoder() -> MakeEncoder:
    """Makes a small encoder with random weights, the same ones every time."""

    def make(**settings: Any) -> VisualEncoder:
        small = {"backbone": "test_resnet", "image_size": 32, "resize_size": 40, "hidden_size": 8}
        torch.manual_seed(0)
        return VisualEncoder(EncoderConfig(**{**small, **settings})).eval()

    return make


@pytest.fixture
def frames() -> np.ndarray:
    """Twenty random frames (20, 40, 40, 3), uint8."""
    return np.random.default_rng(0).integers(0, 256, (20, 40, 40, 3), dtype=np.uint8)


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
