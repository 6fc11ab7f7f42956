import pytest
import torch
import torch.nn.functional as F

from fla_llm.encoder.temporal import TemporalModule, pad_packed

LENGTHS = torch.tensor([2, 5, 3])


@pytest.fixture
def module() -> TemporalModule:
    torch.manual_seed(0)
    return TemporalModule(frame_size=4, hidden_size=6, kernel_size=5)


def packed() -> torch.Tensor:
    return torch.randn(int(LENGTHS.sum()), 4, generator=torch.Generator().manual_seed(2))


def test_packed_steps_are_laid_out_with_zeros_past_the_end() -> None:
    padded, valid = pad_packed(torch.arange(1.0, 7).view(6, 1), torch.tensor([1, 3, 2]))
    assert padded[..., 0].tolist() == [[1, 0, 0], [2, 3, 4], [5, 6, 0]]
    assert valid.tolist() == [[True, False, False], [True, True, True], [True, True, False]]


def test_row_of_a_batch_equals_the_clip_alone(module: TemporalModule) -> None:
    module.eval()
    together, parts = module(packed(), LENGTHS), packed().split(LENGTHS.tolist())
    for row, part in zip(together, parts, strict=True):
        alone = module(part, torch.tensor([len(part)]))[0]
        torch.testing.assert_close(row[: len(part)], alone)
        assert not row[len(part) :].any()


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_a_single_clip_is_a_batch_of_one_bit_for_bit(module: TemporalModule, dtype: torch.dtype) -> None:
    module.eval()
    for part in packed().split(LENGTHS.tolist()):
        with torch.autocast("cpu", dtype=dtype, enabled=dtype != torch.float32):
            batch = module(part.to(dtype), torch.tensor([len(part)]))[0]
            assert torch.equal(module.single(part.to(dtype)), batch)


def test_statistics_are_those_of_valid_steps_only(module: TemporalModule) -> None:
    module.train()
    module(packed(), LENGTHS)
    clips = [
        F.conv1d(part.T, module.conv.weight, module.conv.bias, padding=2)
        for part in packed().split([2, 5, 3])
    ]
    steps = torch.cat(clips, dim=1)  # (D, N)
    torch.testing.assert_close(module.norm.running_mean, 0.1 * steps.mean(1))
    torch.testing.assert_close(module.norm.running_var, 0.9 + 0.1 * steps.var(1))


def test_padding_changes_nothing_in_training_too(module: TemporalModule) -> None:
    """Each clip convolved by itself, then normalised by the statistics of all valid steps."""
    module.train()
    output = module(packed(), LENGTHS)
    mixed = [
        F.conv1d(part.T, module.conv.weight, module.conv.bias, padding=2).T
        for part in packed().split([2, 5, 3])
    ]
    expected = F.relu(F.batch_norm(torch.cat(mixed), None, None, training=True))
    torch.testing.assert_close(torch.cat([row[:n] for row, n in zip(output, LENGTHS, strict=True)]), expected)


def test_no_gradient_leaves_the_masked_places(module: TemporalModule) -> None:
    features = packed().requires_grad_()
    output = module(features, LENGTHS)
    beyond = torch.arange(5) >= LENGTHS[:, None]
    output[beyond].sum().backward()
    assert features.grad is None or not features.grad.any()
    assert all(p.grad is None or not p.grad.any() for p in module.parameters())


def test_a_step_sees_two_neighbours_each_way_and_no_other_clip(module: TemporalModule) -> None:
    module.eval()
    features = packed().requires_grad_()
    module(features, LENGTHS)[1, 1].sum().backward()  # the second clip's second step: rows 2..6 are its clip
    touched = features.grad.abs().sum(1) > 0
    assert touched.tolist() == [False, False, True, True, True, True, False, False, False, False]


def test_one_single_step_can_be_trained_on(module: TemporalModule) -> None:
    module.train()
    before = module.norm.running_var.clone()
    output = module(torch.randn(1, 4), torch.tensor([1]))
    assert output.isfinite().all()
    assert torch.equal(module.norm.running_var, before)
