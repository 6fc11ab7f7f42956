"""The small interface behind which decoder-only and encoder-decoder models stand.

Letters: B clips, T feature steps, P prompt tokens, L target tokens, K first tokens of the decoder, S
positions of the model's input, D embedding size, N labelled positions of the whole batch.
"""

from abc import ABC, abstractmethod
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import torch
from torch import Tensor
from torch.nn.utils.rnn import pad_sequence
from transformers import PreTrainedModel

from ..training.config import DecodingConfig
from ..training.model import IGNORED
from .loss import head_of

Side = Literal["left", "right"]


@dataclass(frozen=True, kw_only=True)
class Source:
    """What a batch of sentences is conditioned on."""

    features: Tensor
    """Projected (B, T, D); what lies past ``feature_lengths`` is not read."""
    feature_lengths: Tensor
    """(B,)"""
    prompt_ids: Tensor
    """(B, P); what lies past ``prompt_lengths`` is not read."""
    prompt_lengths: Tensor
    """(B,)"""
    decoder_prefix_ids: Tensor
    """(B, K); K = 0 for a decoder-only model."""


@dataclass(frozen=True, kw_only=True)
class Found:
    """What a beam search found; H is B times the hypotheses of a clip, a clip's together, best first."""

    ids: Tensor
    """New token ids (H, at most ``max_new_tokens``)."""
    scores: Tensor | None
    """Log-likelihoods (H,), divided by the length to the power of ``length_penalty``; None: not asked for."""


class Family(ABC):
    """How one kind of language model is fed, trained and searched."""

    def __init__(self, llm: PreTrainedModel, *, lead_ids: Sequence[int], pad_id: int, eos_id: int) -> None:
        self.llm: Any = llm  # of a class that only its config knows
        self.embed = llm.get_input_embeddings()
        self.head = head_of(llm)
        self.lead_ids = list(lead_ids)
        self.pad_id = pad_id
        self.eos_id = eos_id

    @abstractmethod
    def labelled_states(self, source: Source, labels: Tensor) -> Tensor:
        """Return the decoder's last hidden states where ``labels`` (B, L) are given, (N, D), row by row.

        Logits (N, V) where :attr:`head` is None.
        """

    @abstractmethod
    def search(self, source: Source, decoding: DecodingConfig, *, n_best: int | None = None) -> Found:
        """Return the ``n_best`` best hypotheses of each clip with their scores; None: the best, unscored."""

    @staticmethod
    @abstractmethod
    def positions(
        sources: Sequence[int], labels: Sequence[int], prefixes: Sequence[int]
    ) -> tuple[list[int], ...]:
        """Return how many positions the model reads of each clip, on each side that is padded apart.

        The last label, the end token, is only ever told, never read.

        Args:
            sources: positions of [lead][features][prompt] of each clip.
            labels: labels of each clip.
            prefixes: first tokens of the decoder of each clip.
        """

    def generate(self, source: Source, decoding: DecodingConfig) -> Tensor:
        """Return token ids (B, at most ``max_new_tokens``) of the best hypotheses."""
        return self.search(source, decoding).ids

    def embed_ids(self, ids: Tensor) -> Tensor:
        """Return embeddings (..., D) as the model makes them of text, its own scale included."""
        return self.embed(ids)

    def source_rows(self, source: Source) -> list[Tensor]:
        """Return [lead][features][prompt] of each clip, (S_i, D), in the embeddings' number format."""
        prompts = self.embed_ids(source.prompt_ids)
        lead = self.embed_ids(torch.tensor(self.lead_ids, dtype=torch.long, device=prompts.device))
        features = source.features.to(prompts.dtype)
        lengths = zip(source.feature_lengths.tolist(), source.prompt_lengths.tolist(), strict=True)
        return [torch.cat([lead, features[i, :t], prompts[i, :p]]) for i, (t, p) in enumerate(lengths)]

    def search_settings(self, decoding: DecodingConfig, *, n_best: int | None = None) -> dict[str, Any]:
        """Return what ``generate()`` is told in either family; sampling is off."""
        return {
            "num_return_sequences": n_best or 1,
            "return_dict_in_generate": True,
            "output_scores": n_best is not None,  # keeps every step's scores: memory that few need
            "num_beams": decoding.num_beams,
            "max_new_tokens": decoding.max_new_tokens,
            "length_penalty": decoding.length_penalty,
            "do_sample": False,
            "pad_token_id": self.pad_id,
            "eos_token_id": self.eos_id,
        }


def pad_rows(rows: Sequence[Tensor], *, side: Side = "right") -> tuple[Tensor, Tensor]:
    """Return rows (S_i, ...) as one tensor (B, S, ...), zero where padded, and its mask (B, S).

    >>> pad_rows([torch.tensor([5]), torch.tensor([6, 7])], side="left")
    (tensor([[0, 5],
            [6, 7]]), tensor([[0, 1],
            [1, 1]]))
    """
    ones = [row.new_ones(len(row), dtype=torch.long) for row in rows]
    return _pad(rows, side), _pad(ones, side)


def positions_of(mask: Tensor) -> Tensor:
    """Return each position's number among the real ones of its row (B, S); padding gets 0 or repeats.

    Source: what transformers' ``generate`` does, needed in training too where padding may stand in front.
    """
    return (mask.cumsum(dim=1) - 1).clamp(min=0)


def label_counts(labels: Tensor) -> list[int]:
    """Return how many labels each row of ``labels`` (B, L) has."""
    return (labels != IGNORED).sum(dim=1).tolist()


def _pad(rows: Iterable[Tensor], side: Side) -> Tensor:
    return pad_sequence(list(rows), batch_first=True, padding_side=side)
