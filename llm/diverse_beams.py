"""Diverse beam search: a penalty makes the groups of beams differ.

Source: Vijayakumar et al., Diverse Beam Search (arXiv:1610.02424), Algorithm 1 with the Hamming distance and
as many groups as beams, the choice of the authors, because this choice explores most. A group is then one
beam, and the search of a group is greedy. transformers no longer has this search.

Letters: B clips, G groups, V vocabulary.
"""

import torch
from torch import Tensor
from transformers import LogitsProcessor


class DiverseGroups(LogitsProcessor):
    """Logits processor: choose the token of every group, group by group, in a greedy ``generate()``.

    A token loses ``diversity`` from the log-likelihood for each earlier group of the clip with the same
    choice at this step. Rows are (B * G): the groups of a clip are adjacent, in order.
    """

    def __init__(self, *, groups: int, diversity: float, prefix_length: int, eos_id: int) -> None:
        """Keep the settings.

        Args:
            groups: G.
            diversity: loss of a token for each earlier group with the same choice.
            prefix_length: number of ids in front of the first new id.
            eos_id: id at the end of a hypothesis. Later ids of the row are ignored.
        """
        self.groups = groups
        self.diversity = diversity
        self.prefix_length = prefix_length
        self.eos_id = eos_id

    def __call__(self, input_ids: Tensor, scores: Tensor) -> Tensor:  # type: ignore[override]  # ids and scores are plain tensors here
        """Return scores (B * G, V) with a single possible token in each row.

        Args:
            input_ids: ids of every row so far, (B * G, prefix and new tokens).
            scores: logits or log-likelihoods. Within a row both differ by a constant, so the
                choice is the same.
        """
        # A finished group repeats padding: its choices must not push other groups away from a token.
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
        # Only the choice is passed on. With all scores, generate() could break a tie in another way, and the
        # penalty would then count a token that the group did not write.
        return torch.full_like(scores, -torch.inf).scatter_(1, torch.cat(chosen, dim=1).view(-1, 1), 0.0)
