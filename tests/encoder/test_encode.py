import numpy as np
import pytest
import torch

from fla_llm.core.errors import DataError, ModelError
from fla_llm.encoder import VisualEncoder, encode
from fla_llm.encoder.encode import pack_batches

CPU = torch.device("cpu")
LENGTHS = [3, 1, 9, 7]


@pytest.fixture
def clips(frames: np.ndarray) -> list[tuple[str, np.ndarray]]:
    ends = np.cumsum(LENGTHS)
    return [(f"clip{end}", frames[end - n : end]) for n, end in zip(LENGTHS, ends, strict=True)]


def run(encoder: VisualEncoder, clips, *, frame_batch: int = 4, level="sign", dtype=torch.float32):
    return dict(encode(encoder, clips, frame_batch=frame_batch, level=level, device=CPU, dtype=dtype))


def middle(frames: np.ndarray) -> torch.Tensor:
    return torch.from_numpy(frames).permute(0, 3, 1, 2)[..., 4:36, 4:36]


@pytest.mark.parametrize("frame_batch", [1, 4, 64])
def test_encode_is_the_straight_forward_pass(make_encoder, clips, frame_batch: int) -> None:
    encoder = make_encoder()
    encoded = run(encoder, clips, frame_batch=frame_batch)
    assert list(encoded) == [key for key, _ in clips]
    for key, frames in clips:
        with torch.no_grad():
            straight = encoder(middle(frames), torch.tensor([len(frames)]))[0]
        assert encoded[key].dtype == np.float16
        np.testing.assert_allclose(encoded[key], straight.numpy(), rtol=2e-3, atol=1e-4)


def test_level_frame_is_what_the_backbone_sees(make_encoder, clips) -> None:
    encoder = make_encoder()
    encoded = run(encoder, clips, level="frame")
    with torch.no_grad():
        straight = encoder.frame_features(middle(clips[2][1]))
    np.testing.assert_allclose(encoded[clips[2][0]], straight.numpy(), rtol=2e-3, atol=1e-4)


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
@pytest.mark.parametrize("backbone", ["test_resnet", "test_convnext", "test_vit"])
def test_company_and_place_change_no_bit(make_encoder, clips, backbone: str, dtype: torch.dtype) -> None:
    encoder = make_encoder(backbone=backbone)
    together = run(encoder, clips, dtype=dtype)
    backwards = run(encoder, clips[::-1], dtype=dtype)
    for clip in clips:
        alone = run(encoder, [clip], dtype=dtype)
        np.testing.assert_array_equal(alone[clip[0]], together[clip[0]])
        np.testing.assert_array_equal(backwards[clip[0]], together[clip[0]])


def test_another_batch_size_changes_no_more_than_rounding(make_encoder, clips) -> None:
    encoder = make_encoder()
    four, seven = run(encoder, clips, frame_batch=4), run(encoder, clips, frame_batch=7)
    for key in four:
        np.testing.assert_allclose(four[key], seven[key], rtol=2e-3, atol=1e-4)


def test_every_batch_is_full_and_every_frame_in_its_place(clips) -> None:
    batches = list(pack_batches(clips, size=40, frame_batch=8))
    assert [batch.shape for batch, _ in batches] == [(8, 3, 40, 40)] * 3
    assert [shares for _, shares in batches] == [
        [("clip3", 3, True), ("clip4", 1, True), ("clip13", 4, False)],
        [("clip13", 5, True), ("clip20", 3, False)],
        [("clip20", 4, True)],
    ]
    frames = torch.cat([batch for batch, _ in batches])
    every = torch.from_numpy(np.concatenate([clip for _, clip in clips])).permute(0, 3, 1, 2)
    assert torch.equal(frames[:20], every)
    assert not frames[20:].any()


def test_encoder_is_left_in_evaluation_mode_and_grads_are_left_on(make_encoder, clips) -> None:
    encoder = make_encoder().train()
    before = {name: value.clone() for name, value in encoder.state_dict().items()}
    for _ in encode(encoder, clips, frame_batch=4, level="sign", device=CPU, dtype=torch.float32):
        assert torch.is_grad_enabled()
    assert not encoder.training
    assert all(torch.equal(before[name], value) for name, value in encoder.state_dict().items())


@pytest.mark.parametrize(("value", "shown"), [(float("nan"), "nan"), (float("inf"), "inf"), (1e5, "100000")])
def test_features_float16_cannot_hold_are_refused(make_encoder, clips, value: float, shown: str) -> None:
    encoder = make_encoder()
    torch.nn.init.constant_(encoder.temporal.norm.bias, value)
    torch.nn.init.zeros_(encoder.temporal.norm.weight)
    with pytest.raises(DataError, match=f"clip 'clip3' must give features of at most 65504.*{shown}"):
        run(encoder, clips)


def test_level_sign_without_temporal_module_is_refused_at_once(make_encoder, clips) -> None:
    with pytest.raises(ModelError, match="level must be frame, but is sign"):
        run(make_encoder(temporal=False), clips)


def test_wrong_calls_are_refused(make_encoder, clips) -> None:
    encoder = make_encoder()
    with pytest.raises(ValueError, match="frame_batch must be at least 1, but is 0"):
        run(encoder, clips, frame_batch=0)
    with pytest.raises(ValueError, match="clip 'empty' must have frames, but has none"):
        run(encoder, [("empty", clips[0][1][:0])])
    with pytest.raises(ValueError, match="frames must measure 32 x 32 or more, but are 20 x 20"):
        run(encoder, [("small", clips[0][1][:, :20, :20])])
