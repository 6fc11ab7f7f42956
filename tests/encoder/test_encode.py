import numpy as np
import pytest
import torch

from fla_llm.core.errors import ConfigError, DataError, ModelError
from fla_llm.encoder.encode import encode
from fla_llm.encoder.model import VisualEncoder
from fla_llm.encoder.prefetch import Transfer

CPU = torch.device("cpu")
LENGTHS = [3, 1, 9, 7]


@pytest.fixture
def clips(frames: np.ndarray) -> list[tuple[str, np.ndarray]]:
    ends = np.cumsum(LENGTHS)
    return [(f"clip{end}", frames[end - n : end]) for n, end in zip(LENGTHS, ends, strict=True)]


def run(encoder: VisualEncoder, clips, **settings):
    how = {"frame_batch": 4, "level": "sign", "device": CPU, "dtype": torch.float32, **settings}
    return dict(encode(encoder, clips, **how))


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


@pytest.mark.parametrize("value", [-1e5, float("-inf"), -65505.0])
def test_features_below_what_float16_holds_are_refused(
    make_encoder, clips, value: float, monkeypatch
) -> None:
    def unit_features(self: VisualEncoder, frames: torch.Tensor) -> torch.Tensor:
        features = torch.zeros(len(frames), self.frame_size)
        features[-1, 0] = value
        return features

    monkeypatch.setattr(VisualEncoder, "unit_features", unit_features)
    with pytest.raises(DataError, match=f"clip 'clip4' must give .* at most 65504, .* is {abs(value)}"):
        run(make_encoder(), clips, level="frame")


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


def test_a_resumed_run_puts_frames_where_they_were(make_encoder, clips, monkeypatch) -> None:
    """Even with a backbone whose results depend on a frame's place in the batch."""
    frame_features = VisualEncoder.frame_features

    def placed(self: VisualEncoder, frames: torch.Tensor) -> torch.Tensor:
        return frame_features(self, frames) + torch.arange(len(frames))[:, None]

    monkeypatch.setattr(VisualEncoder, "frame_features", placed)
    encoder = make_encoder()
    whole = run(encoder, clips)
    for done in range(1, len(clips)):
        rest = run(encoder, clips[done:], filled=sum(LENGTHS[:done]) % 4)
        assert list(rest) == [key for key, _ in clips[done:]]
        for key, features in rest.items():
            np.testing.assert_array_equal(features, whole[key])
    assert (run(encoder, clips[1:])["clip4"] != whole["clip4"]).any()


def test_a_device_without_room_is_a_fault_of_frame_batch(make_encoder, clips, monkeypatch) -> None:
    def no_room(self: VisualEncoder, frames: torch.Tensor) -> torch.Tensor:
        raise torch.cuda.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 GiB.")

    monkeypatch.setattr(VisualEncoder, "frame_features", no_room)
    with pytest.raises(
        ConfigError, match=r"must fit the memory of cpu, but is 4: CUDA out of memory.\n.*--set frame_batch=2"
    ):
        run(make_encoder(), clips)


def test_what_is_compiled_is_what_sees_the_units(make_encoder, clips, monkeypatch) -> None:
    compiled = []

    def remember(function):
        compiled.append(function)
        return function

    monkeypatch.setattr(torch, "compile", remember)
    encoder = make_encoder()
    run(encoder, clips, compile=True)
    assert compiled == [encoder.unit_features]
    run(encoder, clips)
    assert len(compiled) == 1


def test_a_transfer_that_runs_ahead_gives_the_same_in_the_same_order(
    make_encoder, clips, monkeypatch
) -> None:
    class AheadTransfer(Transfer):
        """Two batches used in turn, as on CUDA; features come a batch late."""

        runs_ahead = True

        def __init__(self, **place) -> None:
            super().__init__(**place)
            self.batches, self.turn = [Transfer.new_batch(self) for _ in range(2)], 0

        def new_batch(self) -> torch.Tensor:
            self.turn = 1 - self.turn
            return self.batches[self.turn]

    plain = run(make_encoder(), clips)
    monkeypatch.setattr("fla_llm.encoder.encode.Transfer", AheadTransfer)
    ahead = run(make_encoder(), clips)
    assert list(ahead) == list(plain)
    assert all(np.array_equal(ahead[key], plain[key]) for key in plain)


@pytest.mark.cuda
@pytest.mark.parametrize("level", ["sign", "frame"])
def test_on_cuda_company_and_place_change_no_bit(make_encoder, clips, level: str) -> None:
    encoder, cuda = make_encoder(), torch.device("cuda")
    together = run(encoder, clips, device=cuda, level=level)
    assert list(together) == [key for key, _ in clips]
    for clip, before in zip(clips, np.cumsum([0, *LENGTHS]), strict=False):
        alone = run(encoder, [clip], device=cuda, level=level, filled=int(before) % 4)
        np.testing.assert_array_equal(alone[clip[0]], together[clip[0]])


@pytest.mark.cuda
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_the_pinned_way_gives_what_the_plain_way_gives(make_encoder, clips, monkeypatch, dtype) -> None:
    encoder, cuda = make_encoder(), torch.device("cuda")
    many = [(f"{turn} {key}", frames) for turn in range(9) for key, frames in clips]
    pinned = run(encoder, many, device=cuda, dtype=dtype)
    monkeypatch.setattr("fla_llm.encoder.encode.Prefetcher", Transfer)
    plain = run(encoder, many, device=cuda, dtype=dtype)
    assert list(pinned) == list(plain)
    assert all(np.array_equal(pinned[key], plain[key]) for key in plain)


@pytest.mark.cuda
def test_compiled_features_are_the_features_within_rounding(make_encoder, clips) -> None:
    encoder, cuda = make_encoder(), torch.device("cuda")
    plain, compiled = (run(encoder, clips, device=cuda, compile=flag) for flag in (False, True))
    for key in plain:
        np.testing.assert_allclose(compiled[key], plain[key], rtol=2e-3, atol=1e-4)
