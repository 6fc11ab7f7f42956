"""Encoder-decoder models: the encoder reads features and prompt, the decoder reads the sentence.

Rows are always padded right. mBART and NLLB count positions from the left, so left padding changes results.
"""

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor

from ..training.model import IGNORED
from .attention import eager_attention, mean_weights
from .conditioned_lm import ConditionedLM, Conditioning, label_counts, pad_rows


class Seq2SeqLM(ConditionedLM):
    """Encoder-decoder model: mBART, NLLB, T5, mT5."""

    @staticmethod
    def positions(
        sources: Sequence[int], labels: Sequence[int], prefixes: Sequence[int]
    ) -> tuple[list[int], ...]:
        """Return two sides: positions of the encoder, positions of the decoder."""
        return list(sources), [count + first - 1 for count, first in zip(labels, prefixes, strict=True)]

    def encoded(self, conditioning: Conditioning) -> tuple[Tensor, Tensor]:
        """Return the outputs of the encoder (B, S, D) and the positions of each clip (B,)."""
        embeds, mask = pad_rows(self.conditioning_rows(conditioning))
        return self.llm.get_encoder()(inputs_embeds=embeds, attention_mask=mask).last_hidden_state, mask.sum(
            1
        )

    def labelled_states(self, conditioning: Conditioning, labels: Tensor) -> Tensor:
        """Return states (N, D). The decoder reads [prefix][target without the last token]."""
        prefix = conditioning.decoder_prefix_ids  # (B, K), K >= 1
        states = self._states(conditioning, self._read_ids(conditioning, labels))
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

    def feature_attention(self, conditioning: Conditioning, labels: Tensor) -> list[Tensor]:
        """Return the cross-attention (L_i, T_i). The rest of a row falls on the prompt."""
        with eager_attention(self.llm):
            encoded, mask = self._encoded(conditioning)
            decoded = self.llm.get_decoder()(
                input_ids=self._read_ids(conditioning, labels),
                encoder_hidden_states=encoded.last_hidden_state,
                encoder_attention_mask=mask,
                use_cache=False,
                output_attentions=True,
            )
        weights = mean_weights(decoded.cross_attentions, kind=self.llm.config.model_type)  # (B, K + L - 1, S)
        start = conditioning.decoder_prefix_ids.shape[1] - 1
        lengths, firsts = conditioning.feature_lengths.tolist(), self.feature_starts(conditioning)
        clips = zip(label_counts(labels), firsts, lengths, strict=True)
        return [
            weights[i, start : start + count, first : first + steps]
            for i, (count, first, steps) in enumerate(clips)
        ]

    def _read_ids(self, conditioning: Conditioning, labels: Tensor) -> Tensor:
        """Return what the decoder reads: the prefix, then all labels but the last."""
        read = torch.where(labels == IGNORED, self.pad_id, labels)[:, :-1]
        return torch.cat([conditioning.decoder_prefix_ids, read], dim=1)

    def _encoded(self, conditioning: Conditioning) -> tuple[Any, Tensor]:
        """Return the output of the encoder, and the mask (B, S) of its real positions."""
        embeds, mask = pad_rows(self.conditioning_rows(conditioning))
        return self.llm.get_encoder()(inputs_embeds=embeds, attention_mask=mask), mask

    def _states(self, conditioning: Conditioning, decoder_input_ids: Tensor) -> Tensor:
        encoded, mask = self._encoded(conditioning)
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
