"""Encoder-decoder models: the encoder reads features and prompt, the decoder reads the sentence.

Rows are always padded right. mBART and NLLB count positions from the left, so left padding changes results.
"""

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor

from ..training.model import IGNORED
from .conditioned_lm import ConditionedLM, Conditioning, pad_rows


class Seq2SeqLM(ConditionedLM):
    """Encoder-decoder model: mBART, NLLB, T5, mT5."""

    @staticmethod
    def positions(
        sources: Sequence[int], labels: Sequence[int], prefixes: Sequence[int]
    ) -> tuple[list[int], ...]:
        """Return two sides: positions of the encoder, positions of the decoder."""
        return list(sources), [count + first - 1 for count, first in zip(labels, prefixes, strict=True)]

    def labelled_states(self, conditioning: Conditioning, labels: Tensor) -> Tensor:
        """Return states (N, D). The decoder reads [prefix][target without the last token]."""
        prefix = conditioning.decoder_prefix_ids  # (B, K), K >= 1
        read = torch.where(labels == IGNORED, self.pad_id, labels)[:, :-1]
        states = self._states(conditioning, torch.cat([prefix, read], dim=1))
        return states[:, prefix.shape[1] - 1 :][labels != IGNORED]

    def new_ids(self, conditioning: Conditioning, **settings: Any) -> Tensor:
        """Return the new token ids. The decoder starts from the prefix, which may hold the language token."""
        embeds, mask = pad_rows(self.conditioning_rows(conditioning))
        prefix = conditioning.decoder_prefix_ids
        ids = self.llm.generate(
            inputs_embeds=embeds,
            attention_mask=mask,
            decoder_input_ids=prefix,
            decoder_start_token_id=prefix[:, 0].tolist(),  # else it would be put in front once more
            **settings,
        )
        return ids[:, prefix.shape[1] :]

    def _states(self, conditioning: Conditioning, decoder_input_ids: Tensor) -> Tensor:
        embeds, mask = pad_rows(self.conditioning_rows(conditioning))
        encoded = self.llm.get_encoder()(inputs_embeds=embeds, attention_mask=mask)
        if self.head is None:
            inputs: dict[str, Any] = {"encoder_outputs": encoded, "attention_mask": mask}
            return self.llm(**inputs, decoder_input_ids=decoder_input_ids, use_cache=False).logits
        decoded = self.llm.get_decoder()(
            input_ids=decoder_input_ids,
            encoder_hidden_states=encoded.last_hidden_state,
            encoder_attention_mask=mask,
            use_cache=False,
        )
        return decoded.last_hidden_state
