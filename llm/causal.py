"""Decoder-only models: a single sequence of begin token, features, prompt and target."""

import inspect
from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor

from ..training.model import IGNORED
from .attention import eager_attention, mean_weights
from .conditioned_lm import ConditionedLM, Conditioning, label_counts, pad_rows, positions_of


class CausalLM(ConditionedLM):
    """Decoder-only model: Llama, Qwen, Gemma, Mistral, Phi."""

    @staticmethod
    def positions(
        sources: Sequence[int], labels: Sequence[int], prefixes: Sequence[int]
    ) -> tuple[list[int], ...]:
        """Return a single side: clip, prompt and sentence form a single sequence."""
        del prefixes  # none
        return ([source + count - 1 for source, count in zip(sources, labels, strict=True)],)

    def labelled_states(self, conditioning: Conditioning, labels: Tensor) -> Tensor:
        """Return states (N, D): the state before a target token predicts this token."""
        prefixes = self.conditioning_rows(conditioning)
        rows = self._with_targets(prefixes, labels)
        states = self._states(*pad_rows(rows))  # (B, S, D)
        starts = torch.tensor([len(row) - 1 for row in prefixes], device=labels.device)
        valid = labels != IGNORED
        columns = starts[:, None] + torch.arange(labels.shape[1], device=labels.device)
        batch_rows = torch.arange(len(rows), device=labels.device)[:, None].expand_as(columns)
        return states[batch_rows[valid], columns[valid]]

    def new_ids(self, conditioning: Conditioning, **settings: Any) -> Tensor:
        """Return the new token ids: with ``inputs_embeds``, ``generate()`` has no ids to repeat."""
        # Left padding: generation continues every row from its last token.
        embeds, mask = pad_rows(self.conditioning_rows(conditioning), side="left")
        return self.llm.generate(inputs_embeds=embeds, attention_mask=mask, **settings)

    def feature_attention(self, conditioning: Conditioning, labels: Tensor) -> list[Tensor]:
        """Return the weights (L_i, T_i): the position before a target token predicts this token."""
        prefixes = self.conditioning_rows(conditioning)
        inputs = self._inputs(*pad_rows(self._with_targets(prefixes, labels)))
        with eager_attention(self.llm):
            layers = self.llm.get_decoder()(**inputs, use_cache=False, output_attentions=True).attentions
        weights = mean_weights(layers, kind=self.llm.config.model_type)  # (B, S, S)
        lengths, counts = conditioning.feature_lengths.tolist(), label_counts(labels)
        clips = zip(prefixes, self.feature_starts(conditioning), lengths, strict=True)
        return [
            weights[i, len(row) - 1 : len(row) - 1 + counts[i], first : first + steps]
            for i, (row, first, steps) in enumerate(clips)
        ]

    def _with_targets(self, prefixes: Sequence[Tensor], labels: Tensor) -> list[Tensor]:
        """Return each clip's prefix and the embeddings of its labels but the last."""
        targets, counts = self.embed_ids(labels.clamp(min=0)), label_counts(labels)
        # The end token is predicted but never read: the last label needs no position.
        return [torch.cat([row, targets[i, : counts[i] - 1]]) for i, row in enumerate(prefixes)]

    def _inputs(self, embeds: Tensor, mask: Tensor) -> dict[str, Tensor]:
        inputs = {"inputs_embeds": embeds, "attention_mask": mask}
        if "position_ids" in inspect.signature(self.llm.forward).parameters:  # ALiBi models read the mask
            inputs["position_ids"] = positions_of(mask)
        return inputs

    def _states(self, embeds: Tensor, mask: Tensor) -> Tensor:
        inputs = self._inputs(embeds, mask)
        if self.head is None:
            return self.llm(**inputs, use_cache=False).logits
        return self.llm.get_decoder()(**inputs, use_cache=False).last_hidden_state
