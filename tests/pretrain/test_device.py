"""Stage one's loss computes on the model's device alone; no GPU is needed to see it."""

from collections.abc import Callable
from typing import Any

import pytest
import torch
from device_fixtures import Full
from torch import nn

Move = Callable[[nn.Module], None]


LENGTH = 3


def batch() -> dict[str, torch.Tensor]:
    """One clip on CUDA, with as many labels as frames."""
    return {
        "frames": torch.zeros(LENGTH, 3, 32, 32, dtype=torch.uint8, device="cuda"),
        "lengths": torch.full((1,), LENGTH, device="cuda"),
        "labels": torch.zeros(1, LENGTH, dtype=torch.long, device="cuda"),
    }


@torch.no_grad()
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_the_loss_stays_on_the_device(
    dtype: torch.dtype, tiny_model: Callable[..., Any], request: pytest.FixtureRequest
) -> None:
    model = tiny_model().eval()
    move: Move = request.getfixturevalue("on_fake_cuda")  # not before the model has real weights
    move(model)
    with Full(LENGTH), torch.autocast("cuda", dtype=dtype, enabled=dtype != torch.float32):
        loss = model(**batch())["loss"]
    assert (loss.device.type, loss.dtype, loss.shape) == ("cuda", torch.float32, ())
