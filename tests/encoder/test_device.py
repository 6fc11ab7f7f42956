"""Every tensor of an encoder's forward pass lies on the encoder's device."""

from collections.abc import Callable
from typing import Any

import pytest
import torch
from device_fixtures import DeviceMismatch
from transformers import VideoMAEConfig, VideoMAEModel

from fla_llm.encoder.clip_encoder import ClipEncoder, ClipEncoderConfig
from fla_llm.encoder.encode import BatchEncoder, Level

ENCODERS: list[dict[str, Any]] = [
    {"backbone": "test_resnet"},
    {"backbone": "test_resnet", "pool": "grid-1", "image_size": 64, "resize_size": 64, "scales": (1, 2)},
    {"backbone": "test_vit", "pool": "token"},
    {"backbone": "test_vit", "pool": "mean"},
]


@pytest.fixture
def on_cuda(request: pytest.FixtureRequest) -> Callable[..., BatchEncoder[str]]:
    """Make a batch encoder, and move its encoder to a fake CUDA device once it has real weights."""

    def make(encoder: Any, *, level: Level = "sign", dtype: torch.dtype = torch.float32) -> BatchEncoder[str]:
        batches = BatchEncoder[str](
            encoder, frame_batch=4, level=level, device=torch.device("cpu"), dtype=dtype
        )  # fmt: skip
        request.getfixturevalue("on_fake_cuda")(encoder)
        return batches

    return make


def cuda_frames(encoder: Any) -> torch.Tensor:
    """Return frames (4, 3, S, S), uint8, on CUDA."""
    size = encoder.config.image_size
    return torch.zeros(4, 3, size, size, dtype=torch.uint8, device="cuda")


@pytest.mark.parametrize("settings", ENCODERS)
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_a_visual_encoder_computes_where_it_lies(
    make_encoder: Any, on_cuda: Any, settings: dict[str, Any], dtype: torch.dtype
) -> None:
    encoder = make_encoder(**settings)
    batches = on_cuda(encoder, dtype=dtype)
    features = batches.run_forward(cuda_frames(encoder))
    kept, largest = batches.finalize(features)
    assert (kept.shape, kept.dtype, kept.device.type) == ((4, 8), torch.float16, "cuda")
    assert largest.device.type == "cuda"
    ends_in_layer_norm = "vit" in settings["backbone"]  # which autocast computes in float32
    assert features.dtype == (torch.float32 if ends_in_layer_norm else dtype)


def test_a_clip_encoder_computes_where_it_lies(on_cuda: Any) -> None:
    small = {"hidden_size": 16, "num_hidden_layers": 1, "num_attention_heads": 2, "intermediate_size": 32}
    model = VideoMAEModel(VideoMAEConfig(image_size=32, num_frames=4, tubelet_size=2, **small)).eval()
    config = ClipEncoderConfig(name="tiny", window_frames=4, window_stride=2, image_size=32, resize_size=32)
    encoder = ClipEncoder(model, config)
    features = on_cuda(encoder, level="frame").run_forward(cuda_frames(encoder))
    assert (tuple(features.shape), features.device.type) == ((1, 16), "cuda")


@pytest.mark.parametrize("left", ["mean", "temporal.norm.running_var"])
def test_a_tensor_that_is_left_behind_is_found(make_encoder: Any, on_cuda: Any, left: str) -> None:
    encoder = make_encoder()
    batches = on_cuda(encoder)
    module, _, name = left.rpartition(".")
    owner = encoder.get_submodule(module)
    owner._buffers[name] = torch.empty_like(owner._buffers[name], device="cpu")
    with pytest.raises(DeviceMismatch, match=r"(?i)device"):
        batches.finalize(batches.run_forward(cuda_frames(encoder)))
