"""Denoiser of latents, and the fusion of streams of features that condition the denoiser.

Letters: B clips, K latents, E width of a latent, T steps of a stream, S steps of all streams, W width.
"""

from collections.abc import Sequence
from typing import cast

import torch
from torch import Tensor, nn
from torch.nn.functional import silu

from ..finetune.config import ProjectorConfig
from ..finetune.projector import Projector
from .config import AutoencoderConfig, DenoiserConfig
from .layers import Block, sinusoids
from .pseudo_glosses import PseudoGlosses

NEW_STD = 0.02
"""Standard deviation of new vectors of streams and latents, as of embeddings in BERT and BART."""


class Fusion(nn.Module):
    """Streams of features to one sequence: a projector for each, positions, self-attention over all.

    The guidance fusion of DiffSLT reads two levels of features. Its form is not published, so this form is a
    guess.

    Attributes:
        glosses: head of the pseudo-glosses. None without pseudo-glosses.
    """

    def __init__(
        self, feature_sizes: Sequence[int], *, config: DenoiserConfig, projector: ProjectorConfig,
        words: Sequence[int],
    ) -> None:  # fmt: skip
        super().__init__()
        width = config.hidden_size
        self.projectors = nn.ModuleList(Projector(size, width, config=projector) for size in feature_sizes)
        self.streams = nn.Parameter(torch.randn(len(feature_sizes), width) * NEW_STD)
        self.blocks = nn.ModuleList(Block(width, dropout=config.dropout) for _ in range(config.fusion_layers))
        self.norm = nn.LayerNorm(width)
        # In place of all features, where a clip has none (Ho and Salimans, 2022).
        self.nothing = nn.Parameter(torch.randn(width) * NEW_STD)
        count = config.pseudo_glosses
        self.glosses = PseudoGlosses(width, words=words, count=count) if count else None

    def forward(
        self, features: Sequence[Tensor], lengths: Sequence[Tensor]
    ) -> tuple[Tensor, Tensor, Tensor | None]:
        """Return conditions (B, S, W), the mask of real steps (B, S), and the logits of pseudo-glosses.

        Predicted pseudo-glosses are the last of the conditions. Without pseudo-glosses there are no logits.

        Args:
            features: features (B, T_k, F_k) of each stream.
            lengths: lengths (B,) of each stream.
        """
        parts, masks = [], []
        for number, (given, steps) in enumerate(zip(features, lengths, strict=True)):
            projector = cast(Projector, self.projectors[number])
            projected, counts = projector(given, steps), projector.output_lengths(steps)
            places = torch.arange(projected.shape[1], device=projected.device)
            # Positions begin at 0 in each stream, because the streams show the same video.
            parts.append(projected + sinusoids(places, projected.shape[2]) + self.streams[number])
            masks.append(places < counts[:, None])
        # Padding may stand between streams: the mask, and no position, says what is real.
        x, mask = torch.cat(parts, dim=1), torch.cat(masks, dim=1)
        for block in self.blocks:
            x = block(x, mask=mask)
        x = self.norm(x)
        if self.glosses is None:
            return x, mask, None
        logits = self.glosses.predict(x, mask)
        words = self.glosses(logits).to(x.dtype)
        return torch.cat([x, words], dim=1), torch.cat([mask, mask.new_ones(words.shape[:2])], dim=1), logits


class Denoiser(nn.Module):
    """Transformer over latents with cross-attention to conditions."""

    def __init__(self, config: DenoiserConfig, autoencoder: AutoencoderConfig) -> None:
        super().__init__()
        width, size = config.hidden_size, autoencoder.latent_size
        # Noised latents, and an earlier prediction.
        self.input = nn.Linear(2 * size, width)
        self.places = nn.Parameter(torch.randn(autoencoder.latents, width) * NEW_STD)
        self.time = nn.Sequential(nn.Linear(width, width), nn.SiLU(), nn.Linear(width, width))
        self.blocks = nn.ModuleList(
            Block(width, has_context=True, has_time=True, dropout=config.dropout)
            for _ in range(config.layers)
        )
        self.norm = nn.LayerNorm(width)
        self.out = nn.Linear(width, size)
        # A new denoiser predicts nothing, which is the mean of all velocities.
        nn.init.zeros_(self.out.weight)
        nn.init.zeros_(self.out.bias)

    def forward(
        self, noised: Tensor, known: Tensor, steps: Tensor, conditions: Tensor, mask: Tensor | None
    ) -> Tensor:
        """Return the velocity (B, K, E), float32.

        Args:
            noised: noised latents (B, K, E).
            known: earlier prediction of the latents, or zeros.
            steps: time step of each clip (B,), 0..999.
            conditions: features (B, S, W) after the fusion.
            mask: real steps of the conditions (B, S). None: all.
        """
        # An autocast of the caller decides about the number format, and the velocity returns in fp32.
        x = self.input(torch.cat([noised, known], dim=-1)) + self.places
        time = silu(self.time(sinusoids(steps, self.places.shape[1])))
        for block in self.blocks:
            x = block(x, context=conditions, context_mask=mask, time=time)
        return self.out(self.norm(x)).float()
