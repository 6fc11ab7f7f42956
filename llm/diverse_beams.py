"""Diverse beam search: groups of beams that are told to differ.

Source: Vijayakumar et al., Diverse Beam Search (arXiv:1610.02424), Algorithm 1 with the Hamming distance and
as many groups as beams, the authors' own choice: it explores most. A group is then one beam, and searching it
is greedy. transformers has no such search any more.

Letters: B clips, G groups, V vocabulary.
"""

import torch
from torch import Tensor
from transformers import LogitsProcessor


class DiverseGroups(LogitsProcessor):
    """Chooses the token of every group, one group after the other, in one greedy ``generate()``.

    From a token's log-likelihood is taken ``diversity`` for each earlier group of the clip that chose it at
    this step. Rows are (B * G): a clip's groups together, in their order.
    """

    def __init__(self, *, groups: int, diversity: float, prefix_length: int, eos_id: int) -> None:
        """Keep the settings.

        Args:
            groups: G.
            diversity: what a token loses for each earlier group that chose it.
            prefix_length: ids in front of the first new one.
            eos_id: ends a hypothesis; what ``generate()`` writes after it counts for nothing.
        """
        self.groups = groups
        self.diversity = diversity
        self.prefix_length = prefix_length
        self.eos_id = eos_id

    def __call__(self, input_ids: Tensor, scores: Tensor) -> Tensor:  # type: ignore[override]  # ids and scores are plain tensors here
        """Return scores (B * G, V) under which each row has one possible token.

        Args:
            input_ids: what every row has said, (B * G, prefix and new tokens).
            scores: logits or log-likelihoods: within a row they differ by a constant, which moves no choice.
        """
        goes_on = (input_ids[:, self.prefix_length :] != self.eos_id).all(dim=1)
        by_group = zip(
            scores.unflatten(0, (-1, self.groups)).unbind(dim=1),
            goes_on.to(scores.dtype).view(-1, self.groups, 1).unbind(dim=1),
            strict=True,
        )
        taken = scores.new_zeros(len(scores) // self.groups, scores.shape[1])  # (B, V)
        chosen: list[Tensor] = []
        for own, counts in by_group:
            token = (own - self.diversity * taken).argmax(dim=1, keepdim=True)  # (B, 1)
            taken.scatter_add_(1, token, counts)
            chosen.append(token)
        # Only the choice is handed on: a tie that generate() broke otherwise would part it from what counted.
        return torch.full_like(scores, -torch.inf).scatter_(1, torch.cat(chosen, dim=1).view(-1, 1), 0.0)
