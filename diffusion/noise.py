"""Noise on latents and samplers, by the package ``diffusers``.

The schedule is the cosine schedule of Nichol and Dhariwal (ICML 2021) in 1000 steps. The target of training
is the velocity v of Salimans and Ho (ICLR 2022).

Letters: B clips, K latents, E width of a latent.
"""

import warnings
from collections.abc import Callable, Iterable
from importlib import import_module
from typing import Any

import torch
from torch import Tensor

from ..core.errors import ConfigError
from .config import DiffusionDecoding

SCHEDULE: dict[str, Any] = {"num_train_timesteps": 1000, "beta_schedule": "squaredcos_cap_v2"}
Predict = Callable[[Tensor, int, Tensor], Tensor]
"""Noised latents, time step and earlier prediction -> prediction of the latents without noise."""


def signal_shares() -> Tensor:
    """Return the share of the signal's variance (alpha-bar) at each time step, (1000,).

    Raises:
        ConfigError: the package ``diffusers`` is not installed.
    """
    return _diffusers().DDIMScheduler(**SCHEDULE).alphas_cumprod.clone()


def make_sampler(decoding: DiffusionDecoding) -> Any:
    """Return a new sampler with its time steps, for predictions of latents without noise.

    Raises:
        ConfigError: the package ``diffusers`` is not installed.
    """
    # "sample": the model's velocity becomes latents before the sampler, so that they can be normalised.
    # "trailing": the first step is pure noise, as the model sees at the end of the schedule.
    settings = SCHEDULE | {"prediction_type": "sample", "timestep_spacing": "trailing"}
    if decoding.sampler == "ddim":
        # Latents are no pixels in -1..1, and must not be clipped.
        sampler = _diffusers().DDIMScheduler(**settings, clip_sample=False)
    else:
        sampler = _diffusers().DPMSolverMultistepScheduler(**settings)
    with warnings.catch_warnings():
        # The solver turns tensors into arrays in a way that numpy 2 announces to drop.
        warnings.simplefilter("ignore", DeprecationWarning)
        sampler.set_timesteps(decoding.steps)
    return sampler


def denoise(latents: Tensor, steps: Iterable[int], *, sampler: Any, predict: Predict) -> Tensor:
    """Return latents (B, K, E) after the given time steps of a sampler. Without steps nothing changes."""
    known, found = torch.zeros_like(latents), latents
    for step in steps:
        known = found = predict(latents, step, known)
        latents = sampler.step(known, step, latents).prev_sample
    # The last prediction: samplers leave some noise where their steps do not divide 1000.
    return found


def add_noise(latents: Tensor, noise: Tensor, share: Tensor) -> tuple[Tensor, Tensor]:
    """Return noised latents (B, K, E) and their velocity.

    Args:
        latents: latents without noise.
        noise: standard normal noise of the same shape.
        share: share of the signal's variance, (B, 1, 1).
    """
    signal, rest = share.sqrt(), (1 - share).sqrt()
    # The velocity is the derivative of the noised latents, by the angle between signal and noise.
    return signal * latents + rest * noise, signal * noise - rest * latents


def without_noise(noised: Tensor, velocity: Tensor, share: Tensor) -> Tensor:
    """Return the latents that :func:`add_noise` began with."""
    return share.sqrt() * noised - (1 - share).sqrt() * velocity


def _diffusers() -> Any:
    try:
        # The package loads a class when the class is asked for, and no model here.
        return import_module("diffusers")
    except ImportError as error:
        raise ConfigError(
            "--decoder diffusion needs the package diffusers, which is not installed.\n"
            "Run: pip install 'fla-llm[diffusion]'"
        ) from error
