from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch

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
