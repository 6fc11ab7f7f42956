import numpy as np
import pytest
import torch

from fla_llm.core.errors import ModelError

LENGTHS = torch.tensor([4, 9, 7])


@pytest.fixture
def pixels(frames: np.ndarray) -> torch.Tensor:
    return torch.from_numpy(frames).permute(0, 3, 1, 2)[..., :32, :32]


def test_shapes_and_zeros_past_the_end(make_encoder, pixels: torch.Tensor) -> None:
    output = make_encoder()(pixels, LENGTHS)
    assert output.shape == (3, 9, 8)
    assert not output[0, 4:].any()
    assert not output[2, 7:].any()


def test_row_of_a_batch_equals_the_clip_alone(make_encoder, pixels: torch.Tensor) -> None:
    encoder = make_encoder()
    together = encoder(pixels, LENGTHS)
    for row, part in zip(together, pixels.split(LENGTHS.tolist()), strict=True):
        torch.testing.assert_close(row[: len(part)], encoder(part, torch.tensor([len(part)]))[0])


def test_sign_features_are_the_forward_pass_of_one_clip(make_encoder, pixels: torch.Tensor) -> None:
    encoder = make_encoder()
    signs = encoder.sign_features(encoder.frame_features(pixels))
    torch.testing.assert_close(signs, encoder(pixels, torch.tensor([20]))[0])


def test_without_temporal_module_the_frames_themselves_come_out(make_encoder, pixels: torch.Tensor) -> None:
    encoder = make_encoder(temporal=False)
    assert encoder.output_size == encoder.frame_size == 96
    torch.testing.assert_close(encoder(pixels, LENGTHS)[0, :4], encoder.frame_features(pixels)[:4])
    with pytest.raises(
        ModelError, match="level must be frame, but is sign: encoder test_resnet has no temporal"
    ):
        encoder.sign_features(encoder.frame_features(pixels))


@pytest.mark.parametrize("lengths", [[4, 9], [20, 0]])
def test_lengths_that_do_not_fit_are_refused(make_encoder, pixels: torch.Tensor, lengths: list[int]) -> None:
    with pytest.raises(ValueError, match="lengths must be 1 or more and sum to 20 frames, but are"):
        make_encoder()(pixels, torch.tensor(lengths))
