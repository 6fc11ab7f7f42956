"""Cross-entropy at labelled positions only, in chunks.

Vocabulary is the second line of the memory budget: fp32 logits of 1,000 tokens are half a GiB for Llama 3. So
logits exist only where a label is, ``CHUNK_TOKENS`` at a time, and are recomputed in the backward pass.
"""

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor
from torch.nn.functional import cross_entropy
from torch.utils.checkpoint import checkpoint

if TYPE_CHECKING:
    from transformers import PreTrainedModel

CHUNK_TOKENS = 256  # as in TRL's chunked loss
Head = Callable[[Tensor], Tensor]

# Models whose head is just ``lm_head``, and those with something after or before it.
PLAIN = {"llama", "mistral", "qwen2", "qwen3", "gemma", "phi", "phi3", "xglm", "mt5", "m2m_100"}
SOFT_CAPPED = {"gemma2", "gemma3_text"}
BIASED = {"bart", "mbart"}
SCALED = {"t5"}


def head_of(llm: "PreTrainedModel") -> Head | None:
    """Return what turns the decoder's last hidden states (N, D) into logits (N, V).

    None for an architecture that is not known here: then the model's own logits are used, at all positions.
    """
    kind: str = llm.config.model_type
    head: Any = llm.get_output_embeddings()
    if kind in PLAIN:
        return head
    if kind in SOFT_CAPPED:
        return _soft_capped(head, llm.config.final_logit_softcapping)
    if kind in BIASED:
        bias: Any = llm.final_logits_bias
        return lambda hidden: head(hidden) + bias[0]
    if kind in SCALED:
        scale = llm.config.d_model**-0.5 if llm.config.scale_decoder_outputs else 1.0
        return lambda hidden: head(hidden * scale)
    return None


def _soft_capped(head: Head, cap: float | None) -> Head:
    if cap is None:
        return head
    return lambda hidden: torch.tanh(head(hidden) / cap) * cap


def summed_cross_entropy(
    states: Tensor,
    targets: Tensor,
    *,
    head: Head | None,
    label_smoothing: float,
    chunk_tokens: int = CHUNK_TOKENS,
) -> Tensor:
    """Return the cross-entropy summed over N labelled positions.

    Args:
        states: hidden states (N, D) before the head, or logits (N, V) where ``head`` is None.
        targets: token ids (N,).
        head: as :func:`head_of` gives it.
        label_smoothing: share of the target spread evenly over the vocabulary.
        chunk_tokens: positions whose logits exist at one time.
    """

    def loss(states: Tensor, targets: Tensor) -> Tensor:
        logits = states if head is None else head(states)
        return cross_entropy(logits.float(), targets, reduction="sum", label_smoothing=label_smoothing)

    if head is None or len(targets) <= chunk_tokens:
        return loss(states, targets)
    chunks = zip(states.split(chunk_tokens), targets.split(chunk_tokens), strict=True)
    total = torch.zeros((), device=states.device)
    for chunk_states, chunk_targets in chunks:
        total = total + checkpoint(loss, chunk_states, chunk_targets, use_reentrant=False)
    return total
