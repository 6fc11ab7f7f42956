"""Projector: from visual features to vectors with the shape and magnitude of word embeddings.

The paper's LLM-Adapter (an MLP with one hidden layer, section 3.3), with two additions: a LayerNorm, and a
fixed scale that gives the output the magnitude of the model's own embeddings. That magnitude differs by three
orders between models (mBART multiplies by sqrt(d) inside its embedding), and ``inputs_embeds`` is not scaled.
"""

from collections.abc import Sequence
from typing import cast

import torch
from torch import Tensor, nn

from ..core.errors import DataError
from ..llm.conditioned_lm import pad_rows
from .config import ProjectorConfig
from .module_adapter import ModuleAdapter
from .pose_layers import PoseLayers


class Projector(nn.Module):
    """Projector of features (B, T, F) to embeddings (B, S, D), always in fp32.

    S = T, except that ``conv`` makes one step of ``stride``, and ``adapter`` one of 4: S = ceil(T / stride).
    """

    output_scale: Tensor

    def __init__(self, feature_size: int, embedding_size: int, *, config: ProjectorConfig) -> None:
        super().__init__()
        self.stride = config.output_stride
        self.layers = _layers(feature_size, embedding_size, config=config)
        self.norm = nn.LayerNorm(embedding_size) if config.norm else None
        # Apart from the norm's own gain: the optimiser sees a gain near 1 and moves it by small shares.
        self.register_buffer("output_scale", torch.ones(()))

    def forward(self, features: Tensor, lengths: Tensor | None = None) -> Tensor:
        """Return embeddings (B, S, D), float32.

        Args:
            features: padded features (B, T, F).
            lengths: steps of each clip (B,). Later steps are ignored. None: all steps are real.
        """
        with torch.autocast(features.device.type, enabled=False):
            # Caches store float16.
            real = features.float()
            if lengths is not None:  # a convolution would see over the end
                steps = torch.arange(features.shape[1], device=features.device)
                real = real.masked_fill((steps >= lengths[:, None])[..., None], 0.0)
            if isinstance(self.layers, PoseLayers | ModuleAdapter):
                projected = self.layers(real, lengths)
            else:
                projected = self.layers(real)
            return projected if self.norm is None else self.norm(projected) * self.output_scale

    def output_lengths(self, lengths: Tensor) -> Tensor:
        """Return the number of embeddings for clips of ``lengths`` (B,) steps."""
        return (lengths + self.stride - 1) // self.stride

    def calibrate(self, embedding_rms: float) -> None:
        """Give the output the magnitude ``embedding_rms``. Without a norm the output keeps its magnitude."""
        if self.norm is not None:
            self.output_scale.fill_(embedding_rms)


class StreamProjectors(nn.Module):
    """Projectors of several streams. The outputs are joined in time, stream after stream."""

    def __init__(self, projectors: Sequence[Projector]) -> None:
        super().__init__()
        self.streams = nn.ModuleList(projectors)

    @property
    def projectors(self) -> list[Projector]:
        """The projectors, in the order of the streams."""
        return [cast(Projector, stream) for stream in self.streams]

    def forward(self, features: Sequence[Tensor], lengths: Sequence[Tensor]) -> tuple[Tensor, Tensor]:
        """Return [stream 1][stream 2]... of each clip, (B, S, D) float32, zero past the end, and S_i (B,).

        Args:
            features: features (B, T_k, F_k) of each stream.
            lengths: lengths (B,) of each stream.
        """
        given = zip(self.projectors, features, lengths, strict=True)
        projected = [projector(stream, steps) for projector, stream, steps in given]
        counts = [p.output_lengths(steps) for p, steps in zip(self.projectors, lengths, strict=True)]
        rows = [
            # Each stream is cut to the real length: padding would stand between the streams.
            torch.cat([x[clip, : int(steps[clip])] for x, steps in zip(projected, counts, strict=True)])
            for clip in range(len(features[0]))
        ]
        return pad_rows(rows)[0], torch.stack(counts).sum(dim=0)


class GatedProjectors(nn.Module):
    """Projectors of several streams with equal steps: the first stream, and gated embeddings of the others.

    The gate of a stream in a step is one number, tanh of a linear map of the embeddings of the first stream
    and of the stream itself. All weights of the gates begin with 0, as in Flamingo (Alayrac et al., 2022).
    The output is then that of the first stream, bit for bit, and the gates have a gradient. A projector
    behind a closed gate has a gradient from the second step on.
    """

    def __init__(self, projectors: Sequence[Projector], embedding_size: int) -> None:
        super().__init__()
        self.streams = nn.ModuleList(projectors)
        self.gates = nn.ModuleList(nn.Linear(2 * embedding_size, 1) for _ in projectors[1:])
        for parameter in self.gates.parameters():
            nn.init.zeros_(parameter)

    @property
    def projectors(self) -> list[Projector]:
        """The projectors, in the order of the streams."""
        return [cast(Projector, stream) for stream in self.streams]

    def forward(self, features: Sequence[Tensor], lengths: Sequence[Tensor]) -> tuple[Tensor, Tensor]:
        """Return the embeddings of each clip (B, S, D), float32, and S_i (B,).

        Args:
            features: features (B, T, F_k) of each stream.
            lengths: lengths (B,) of each stream, the same for all streams.

        Raises:
            DataError: a view of a clip has other steps in one stream than in another.
        """
        _check_steps(features)
        given = zip(self.projectors, features, lengths, strict=True)
        first, *others = (projector(stream, steps) for projector, stream, steps in given)
        joined = first
        with torch.autocast(first.device.type, enabled=False):
            for gate, other in zip(self.gates, others, strict=True):
                joined = joined + torch.tanh(gate(torch.cat([first, other], dim=2))) * other
        return joined, self.projectors[0].output_lengths(lengths[0])


class FusedProjector(nn.Module):
    """One projector of several streams with equal steps. The features of a step are joined to one vector."""

    def __init__(self, projector: Projector) -> None:
        super().__init__()
        self.joined = projector

    @property
    def projectors(self) -> list[Projector]:
        """The one projector."""
        return [self.joined]

    def forward(self, features: Sequence[Tensor], lengths: Sequence[Tensor]) -> tuple[Tensor, Tensor]:
        """Return the embeddings of each clip (B, S, D), float32, and S_i (B,).

        Args:
            features: features (B, T, F_k) of each stream.
            lengths: lengths (B,) of each stream, the same for all streams.

        Raises:
            DataError: a view of a clip has other steps in one stream than in another.
        """
        _check_steps(features)
        # float32 first: streams may be stored in different number formats.
        joined = torch.cat([stream.float() for stream in features], dim=2)
        return self.joined(joined, lengths[0]), self.joined.output_lengths(lengths[0])


def _check_steps(features: Sequence[Tensor]) -> None:
    if len({stream.shape[1] for stream in features}) > 1:
        raise DataError(
            "Streams joined step by step must have the same steps in each view, but have "
            f"{[stream.shape[1] for stream in features]}.\nSet fuse=time, or extract without --views."
        )


class TimeConvolution(nn.Module):
    """A convolution over the steps of (B, T, F), zeros beyond both ends: (B, ceil(T / stride), hidden)."""

    def __init__(self, feature_size: int, hidden_size: int, *, kernel: int, stride: int) -> None:
        super().__init__()
        # Half an odd kernel of zeros at both ends gives ceil(T / stride) steps.
        self.convolution = nn.Conv1d(feature_size, hidden_size, kernel, stride, padding=kernel // 2)

    def forward(self, features: Tensor) -> Tensor:
        """Return the convolved steps."""
        return self.convolution(features.transpose(1, 2)).transpose(1, 2)


def _layers(feature_size: int, embedding_size: int, *, config: ProjectorConfig) -> nn.Module:
    if config.kind == "poses":
        return PoseLayers(feature_size, embedding_size, width=config.width)
    if config.kind == "adapter":
        sizes = {"hidden_size": config.hidden_size, "kernel": config.kernel}
        return ModuleAdapter(feature_size, embedding_size, **sizes)
    if config.kind == "linear":
        return nn.Linear(feature_size, embedding_size)
    first: nn.Module = nn.Linear(feature_size, config.hidden_size)
    if config.kind == "conv":
        first = TimeConvolution(feature_size, config.hidden_size, kernel=config.kernel, stride=config.stride)
    return nn.Sequential(first, nn.GELU(), nn.Linear(config.hidden_size, embedding_size))


def rms(x: Tensor) -> float:
    """Return the root of the mean square of all elements."""
    return x.float().square().mean().sqrt().item()


@torch.no_grad()
def embedding_rms(embed: nn.Module, ids: Sequence[int], *, device: torch.device) -> float:
    """Return the magnitude of the embeddings of text.

    Args:
        embed: ``get_input_embeddings()`` of the model.
        ids: tokens of real text, with all repetitions.
        device: device of ``embed``.
    """
    # The output counts: the weight alone would miss a scale inside the module (mBART, NLLB, Gemma 3).
    return rms(embed(torch.tensor([list(ids)], device=device)))
