"""Latent diffusion over sentences, conditioned on cached features: many candidates for each clip.

The text autoencoder turns a sentence into a few latents and back. The denoiser draws latents for a clip.
"""

from .config import DiffusionConfig

__all__ = ["DiffusionConfig"]
