"""Samplers and noise: a perfect denoiser draws the very latents, whatever the sampler and its steps."""

import pytest
import torch
from torch import Tensor

from fla_llm.core.errors import ConfigError
from fla_llm.diffusion import noise
from fla_llm.diffusion.config import DiffusionDecoding
from fla_llm.diffusion.noise import add_noise, denoise, make_sampler, signal_shares, without_noise


@pytest.fixture
def latents() -> Tensor:
    torch.manual_seed(0)
    return torch.randn(3, 4, 8)


@pytest.mark.parametrize("sampler", ["ddim", "dpm"])
@pytest.mark.parametrize("steps", [1, 2, 7, 50])
def test_perfect_predictions_give_the_latents(latents: Tensor, sampler: str, steps: int) -> None:
    decoding = DiffusionDecoding(sampler=sampler, steps=steps)  # type: ignore[arg-type]
    made = make_sampler(decoding)
    times = made.timesteps.tolist()
    assert len(times) == steps
    assert times[0] == 999  # from pure noise
    seen: list[Tensor] = []

    def predict(noised: Tensor, step: int, known: Tensor) -> Tensor:
        seen.append(known)
        return latents

    found = denoise(torch.randn_like(latents), times, sampler=made, predict=predict)
    torch.testing.assert_close(found, latents, rtol=1e-4, atol=1e-4)
    # Each prediction is the input of the next.
    assert torch.equal(seen[0], torch.zeros_like(latents))
    assert all(torch.equal(known, latents) for known in seen[1:])


def test_without_steps_nothing_changes(latents: Tensor) -> None:
    made = make_sampler(DiffusionDecoding())
    assert torch.equal(denoise(latents, [], sampler=made, predict=lambda *_: latents * 0), latents)


def test_the_velocity_gives_back_the_latents_at_every_step(latents: Tensor) -> None:
    shares = signal_shares()
    assert shares.shape == (1000,)
    assert bool((shares.diff() < 0).all())
    assert shares[0] > 0.999
    assert shares[-1] < 1e-6
    for share in shares[::90]:
        noised, velocity = add_noise(latents, torch.randn_like(latents), share)
        torch.testing.assert_close(without_noise(noised, velocity, share), latents, rtol=1e-4, atol=1e-4)
    clean, _ = add_noise(latents, torch.randn_like(latents), torch.ones(()))
    assert torch.equal(clean, latents)


def test_the_missing_package_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    def missing(name: str) -> None:
        raise ImportError(name)

    monkeypatch.setattr(noise, "import_module", missing)
    with pytest.raises(ConfigError, match=r"needs the package diffusers.*\nRun: pip install 'fla-llm\[diff"):
        signal_shares()


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"steps": 0}, "steps must be in 1..1000, but is 0"),
        ({"steps": 1001}, "steps must be in 1..1000, but is 1001"),
        ({"guidance": -1.0}, "guidance must be at least 0, but is -1.0"),
        ({"noise": 0.0}, "noise must be above 0, but is 0.0"),
        ({"seed": -1}, "seed must be at least 0, but is -1"),
        ({"temperature": 0.5}, "temperature and diversity must be 0.*but are 0.5 and 0.0"),
        ({"num_beams": 0}, "num_beams must be at least 1"),
    ],
)
def test_impossible_draws_are_refused(settings: dict, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        DiffusionDecoding(**settings)
