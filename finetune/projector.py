"""The projector: from a feature of the visual encoder to something shaped like a word embedding.

The paper's LLM-Adapter (an MLP with one hidden layer, section 3.3), with two additions: a LayerNorm, and a
fixed scale that gives the output the magnitude of the model's own embeddings. That magnitude differs by three
orders between models (mBART multiplies by sqrt(d) inside its embedding), and ``inputs_embeds`` is not scaled.
"""

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from .config import ProjectorConfig


class Projector(nn.Module):
    """Features (B, T, F) to embeddings (B, T, D), in fp32 whatever runs around it."""

    output_scale: Tensor

    def __init__(self, feature_size: int, embedding_size: int, *, config: ProjectorConfig) -> None:
        super().__init__()
        if config.kind == "linear":
            self.layers: nn.Module = nn.Linear(feature_size, embedding_size)
        else:
            self.layers = nn.Sequential(
                nn.Linear(feature_size, config.hidden_size),
                nn.GELU(),
                nn.Linear(config.hidden_size, embedding_size),
            )
        self.norm = nn.LayerNorm(embedding_size)
        # Apart from the norm's own gain: the optimiser sees a gain near 1 and moves it by small shares.
        self.register_buffer("output_scale", torch.ones(()))

    def forward(self, features: Tensor) -> Tensor:
        """Return embeddings (B, T, D), float32."""
        with torch.autocast(features.device.type, enabled=False):
            return self.norm(self.layers(features.float())) * self.output_scale

    def match(self, embedding_rms: float) -> None:
        """Give the output the magnitude ``embedding_rms``."""
        self.output_scale.fill_(embedding_rms)


def rms(x: Tensor) -> float:
    """Return the root of the mean square of all elements."""
    return x.float().square().mean().sqrt().item()


@torch.no_grad()
def embedding_rms(embed: nn.Module, ids: Sequence[int], *, device: torch.device) -> float:
    """Return the magnitude of the embeddings of text.

    Measured on the module's output: the weight alone would miss a scale inside it (mBART, NLLB, Gemma 3).

    Args:
        embed: the model's ``get_input_embeddings()``.
        ids: tokens of real text, repeated as often as they occur.
        device: where ``embed`` lies.
    """
    return rms(embed(torch.tensor([list(ids)], device=device)))
