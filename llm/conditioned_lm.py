"""Interface of language models with features as input: decoder-only and encoder-decoder.

Letters: B clips, T feature steps, P prompt tokens, L target tokens, K first tokens of the decoder, S
positions of the model's input, D embedding size, N labelled positions of the whole batch, H hypotheses of a
clip.
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
from .config import PromptPlace
from .diverse_beams import DiverseGroups
from .loss import head_of, token_log_likelihoods

Side = Literal["left", "right"]


@dataclass(frozen=True, kw_only=True)
class Conditioning:
    """Input of a batch: features, prompt and decoder prefix."""

    features: Tensor
    """Projected features (B, T, D). Steps past ``feature_lengths`` are not read."""
    feature_lengths: Tensor
    """(B,)"""
    prompt_ids: Tensor
    """Prompt ids (B, P). Ids past ``prompt_lengths`` are not read."""
    prompt_lengths: Tensor
    """(B,)"""
    decoder_prefix_ids: Tensor
    """First decoder ids (B, K). K = 0 for a decoder-only model."""


@dataclass(frozen=True, kw_only=True)
class Hypotheses:
    """Hypotheses of a search, best first."""

    ids: Tensor
    """New token ids (B, H, at most ``max_new_tokens``). Ids after an end token have no meaning."""
    scores: Tensor
    """Log-likelihoods (B, H), each divided by the number of tokens to the power of ``length_penalty``.

    The end token counts in the sum and in the number. The decoder prefix counts in neither.
    """


class ConditionedLM(ABC):
    """Base class: input, training states and search of a kind of language model."""

    def __init__(
        self,
        llm: PreTrainedModel,
        *,
        lead_ids: Sequence[int],
        pad_id: int,
        eos_id: int,
        prompt_place: PromptPlace = "after",
    ) -> None:
        self.llm: Any = llm  # of a class that only its config knows
        self.prompt_place: PromptPlace = prompt_place
        self.embed = llm.get_input_embeddings()
        self.head = head_of(llm)
        self.lead_ids = list(lead_ids)
        self.pad_id = pad_id
        self.eos_id = eos_id

    @abstractmethod
    def labelled_states(self, conditioning: Conditioning, labels: Tensor) -> Tensor:
        """Return the last hidden states of the decoder at the labelled positions, (N, D), row by row.

        If :attr:`head` is None, return logits (N, V).
        """

    @abstractmethod
    def new_ids(self, conditioning: Conditioning, **settings: Any) -> Tensor:
        """Return the new ids from ``generate()`` of the model after ``conditioning``."""

    @abstractmethod
    def feature_attention(self, conditioning: Conditioning, labels: Tensor) -> list[Tensor]:
        """Return the attention weights of each label on the features of its clip, (L_i, T_i) float32.

        The weights are averaged over heads and layers. A row sums to the share of attention that falls on
        the features: the rest falls on the prompt and on earlier tokens.

        Raises:
            ModelError: the model returns no weights.
        """

    @staticmethod
    @abstractmethod
    def positions(
        sources: Sequence[int], labels: Sequence[int], prefixes: Sequence[int]
    ) -> tuple[list[int], ...]:
        """Return the positions of each clip, with a list for each separately padded side.

        The last label, the end token, is predicted but never read.

        Args:
            sources: positions of lead, features and prompt of each clip.
            labels: labels of each clip.
            prefixes: first tokens of the decoder of each clip.
        """

    def generate(self, conditioning: Conditioning, decoding: DecodingConfig) -> Tensor:
        """Return token ids (B, at most ``max_new_tokens``) of the best hypotheses."""
        if decoding.diversity > 0:
            return self.search(conditioning, decoding).ids[:, 0]
        if decoding.temperature > 0:
            return self._samples(conditioning, decoding, count=1)[:, 0]
        return self._beams(conditioning, decoding, n_best=1)[:, 0]

    def search(self, conditioning: Conditioning, decoding: DecodingConfig, *, n_best: int = 1) -> Hypotheses:
        """Return the hypotheses of each clip, with scores.

        Args:
            conditioning: B clips.
            decoding: the search.
            n_best: H, at most ``num_beams`` unless tokens are drawn. A diverse search gives all its groups,
                as many as ``num_beams``, of which some may be alike.
        """
        if decoding.temperature > 0:
            return _sorted(
                self._scored(conditioning, self._samples(conditioning, decoding, count=n_best), decoding)
            )
        if decoding.diversity > 0:
            # Groups come in the order of the penalty, so the best hypothesis may stand anywhere.
            return _sorted(self._scored(conditioning, self._diverse(conditioning, decoding), decoding))
        return self._scored(conditioning, self._beams(conditioning, decoding, n_best=n_best), decoding)

    def embed_ids(self, ids: Tensor) -> Tensor:
        """Return the embeddings (..., D) of text, with the scale of the model."""
        return self.embed(ids)

    def conditioning_rows(self, conditioning: Conditioning) -> list[Tensor]:
        """Return [lead][features][prompt] of each clip, (S_i, D), in the dtype of the embeddings.

        With ``prompt_place`` "before" the rows are [lead][prompt][features].
        """
        # Rows are cut to the real lengths: padding inside a row would stand between features and prompt.
        prompts = self.embed_ids(conditioning.prompt_ids)
        lead = self.embed_ids(torch.tensor(self.lead_ids, dtype=torch.long, device=prompts.device))
        features = conditioning.features.to(prompts.dtype)
        lengths = zip(
            conditioning.feature_lengths.tolist(), conditioning.prompt_lengths.tolist(), strict=True
        )
        rows = [(lead, features[i, :t], prompts[i, :p]) for i, (t, p) in enumerate(lengths)]
        if self.prompt_place == "before":
            rows = [(lead, prompt, own) for _, own, prompt in rows]
        return [torch.cat(row) for row in rows]

    def feature_starts(self, conditioning: Conditioning) -> list[int]:
        """Return the position of the first feature in each of :meth:`conditioning_rows`."""
        prompts: list[int] = conditioning.prompt_lengths.tolist()
        is_before = self.prompt_place == "before"
        return [len(self.lead_ids) + (count if is_before else 0) for count in prompts]

    def _beams(self, conditioning: Conditioning, decoding: DecodingConfig, *, n_best: int) -> Tensor:
        """Return the best ids of beam search, (B, n_best, L)."""
        ids = self.new_ids(
            conditioning,
            num_beams=decoding.num_beams,
            num_return_sequences=n_best,
            length_penalty=decoding.length_penalty,
            early_stopping=False,  # a search ends when no beam can become better any more
            **self._settings(decoding),
        )
        return ids.unflatten(0, (-1, n_best))

    def _samples(self, conditioning: Conditioning, decoding: DecodingConfig, *, count: int) -> Tensor:
        """Return drawn ids (B, count, L), from torch's global generator."""
        drawing = {"do_sample": True, "temperature": decoding.temperature}
        # The whole distribution: a checkpoint's own top-k would cut it in silence.
        drawing |= {"top_k": 0, "top_p": 1.0, "num_beams": 1, "num_return_sequences": count}
        ids = self.new_ids(conditioning, **self._settings(decoding) | drawing)
        return ids.unflatten(0, (-1, count))

    def _diverse(self, conditioning: Conditioning, decoding: DecodingConfig) -> Tensor:
        """Return a hypothesis for each group, (B, num_beams, L)."""
        groups = decoding.num_beams
        penalty = DiverseGroups(
            groups=groups,
            diversity=decoding.diversity,
            prefix_length=conditioning.decoder_prefix_ids.shape[1],
            eos_id=self.eos_id,
        )
        ids = self.new_ids(
            # Each group is a row of a greedy search, and the penalty couples the rows of a clip.
            repeated(conditioning, groups),
            num_beams=1,
            logits_processor=[penalty],
            **self._settings(decoding),
        )
        return ids.unflatten(0, (-1, groups))

    def _scored(self, conditioning: Conditioning, ids: Tensor, decoding: DecodingConfig) -> Hypotheses:
        """Score ids (B, H, L) with the functions of the loss, by rank of the hypothesis."""
        # generate() gives scores only by keeping the whole vocabulary of each step and beam.
        scores = [self._score(conditioning, column, decoding.length_penalty) for column in ids.unbind(dim=1)]
        return Hypotheses(ids=ids, scores=torch.stack(scores, dim=1))

    def _score(self, conditioning: Conditioning, ids: Tensor, length_penalty: float) -> Tensor:
        labels = up_to_end(ids, eos_id=self.eos_id)
        counts = label_counts(labels)
        states = self.labelled_states(conditioning, labels)
        likelihoods = token_log_likelihoods(states, labels[labels != IGNORED], head=self.head)
        return torch.stack([row.sum() / len(row) ** length_penalty for row in likelihoods.split(counts)])

    def _settings(self, decoding: DecodingConfig) -> dict[str, Any]:
        """Return the settings of ``generate()`` for all searches. Sampling is off unless a search asks."""
        return {
            "max_new_tokens": decoding.max_new_tokens,
            "do_sample": False,
            "pad_token_id": self.pad_id,
            "eos_token_id": self.eos_id,
        }


def repeated(conditioning: Conditioning, times: int) -> Conditioning:
    """Return each clip ``times`` times. The copies of a clip are adjacent."""
    return Conditioning(
        **{name: rows.repeat_interleave(times, dim=0) for name, rows in vars(conditioning).items()}
    )


def up_to_end(ids: Tensor, *, eos_id: int) -> Tensor:
    """Return generated ids (B, L) as labels. Ids after the first end token are ignored.

    >>> up_to_end(torch.tensor([[5, 2, 2, 0], [5, 6, 7, 8]]), eos_id=2).tolist()
    [[5, 2, -100, -100], [5, 6, 7, 8]]
    """
    # The count of end tokens exceeds the mark of the present token only behind the first end token.
    ends = (ids == eos_id).long()
    return ids.masked_fill(ends.cumsum(dim=1) > ends, IGNORED)


def _sorted(found: Hypotheses) -> Hypotheses:
    """Return each clip's hypotheses by falling score."""
    scores, order = found.scores.sort(dim=1, descending=True, stable=True)
    return Hypotheses(ids=found.ids.gather(1, order[..., None].expand_as(found.ids)), scores=scores)


def pad_rows(rows: Sequence[Tensor], *, side: Side = "right") -> tuple[Tensor, Tensor]:
    """Return rows (S_i, ...) as a tensor (B, S, ...), zero where padded, and the mask (B, S).

    >>> pad_rows([torch.tensor([5]), torch.tensor([6, 7])], side="left")
    (tensor([[0, 5],
            [6, 7]]), tensor([[0, 1],
            [1, 1]]))
    """
    ones = [row.new_ones(len(row), dtype=torch.long) for row in rows]
    return _pad(rows, side), _pad(ones, side)


def positions_of(mask: Tensor) -> Tensor:
    """Return the position ids (B, S): the count of real positions before each position of the same row.

    Padding in front gets 0, padding behind repeats the last id. Source: ``generate`` of transformers, whose
    ids training needs too, because padding may stand in front.
    """
    return (mask.cumsum(dim=1) - 1).clamp(min=0)


def label_counts(labels: Tensor) -> list[int]:
    """Return the number of labels in each row of ``labels`` (B, L)."""
    return (labels != IGNORED).sum(dim=1).tolist()


def _pad(rows: Iterable[Tensor], side: Side) -> Tensor:
    return pad_sequence(list(rows), batch_first=True, padding_side=side)
