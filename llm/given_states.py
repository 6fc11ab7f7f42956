"""Decoder of an encoder-decoder model over given states, without the encoder."""

from typing import Any

import torch
from torch import Tensor
from transformers.modeling_outputs import BaseModelOutput

from .conditioned_lm import Conditioning
from .seq2seq import Seq2SeqLM


class DecoderOverStates(Seq2SeqLM):
    """Encoder-decoder model whose cross-attention reads ``Conditioning.features``. No prompt is read."""

    def new_ids(self, conditioning: Conditioning, **settings: Any) -> Tensor:
        """Return the new token ids. The decoder starts from the prefix."""
        encoded, mask = self._encoded(conditioning)
        prefix = conditioning.decoder_prefix_ids
        ids = self.llm.generate(
            encoder_outputs=encoded,
            attention_mask=mask,
            decoder_input_ids=prefix,
            decoder_start_token_id=prefix[:, 0].tolist(),  # else it would be put in front once more
            **settings,
        )
        return ids[:, prefix.shape[1] :]

    def _encoded(self, conditioning: Conditioning) -> tuple[BaseModelOutput, Tensor]:
        steps = torch.arange(conditioning.features.shape[1], device=conditioning.features.device)
        mask = (steps < conditioning.feature_lengths[:, None]).long()
        return BaseModelOutput(last_hidden_state=conditioning.features), mask  # type: ignore[arg-type]


def states_alone(states: Tensor, decoder_prefix_ids: Tensor) -> Conditioning:
    """Return the conditioning of states (B, T, D) without padding and prompt.

    Args:
        states: states in place of the encoder's output.
        decoder_prefix_ids: first ids of the decoder (B, K).
    """
    clips, steps, _ = states.shape
    lengths = torch.full((clips,), steps, device=states.device)
    return Conditioning(
        features=states,
        feature_lengths=lengths,
        prompt_ids=lengths.new_zeros((clips, 0)),
        prompt_lengths=torch.zeros_like(lengths),
        decoder_prefix_ids=decoder_prefix_ids,
    )
