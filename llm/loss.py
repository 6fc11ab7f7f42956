"""Cross-entropy at labelled positions only, in chunks.

Vocabulary is the second line of the memory budget: fp32 logits of 1,000 tokens are half a GiB for Llama 3. So
logits exist only where a label is, ``CHUNK_TOKENS`` at a time. What the backward pass needs of a chunk is its
gradient for the hidden states, as small as the states themselves: with a frozen head it is computed at once,
in the forward pass. Where the head is trained too, a chunk's logits are computed again in the backward pass.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor, nn
from torch.autograd.function import once_differentiable
from torch.nn.functional import cross_entropy
from torch.utils.checkpoint import checkpoint

if TYPE_CHECKING:
    from transformers import PreTrainedModel

CHUNK_TOKENS = 256  # as in TRL's chunked loss
Loss = Callable[[Tensor, Tensor], Tensor]

# Models whose head is just ``lm_head``, and those with something after or before it. Each has its test.
PLAIN = {"llama", "mistral", "qwen2", "qwen3", "gemma", "phi", "phi3", "xglm", "mt5", "m2m_100"}
SOFT_CAPPED = {"gemma2", "gemma3_text"}
BIASED = {"bart", "mbart"}
SCALED = {"t5"}
TESTED = PLAIN | SOFT_CAPPED | BIASED | SCALED


@dataclass(frozen=True, kw_only=True, eq=False)
class Head:
    """Head of an architecture: last hidden states (N, D) to logits (N, V)."""

    linear: nn.Module
    scale: float = 1.0
    """Factor on the states before the head."""
    bias: Tensor | None = None
    """Added to the logits, (1, V)."""
    cap: float | None = None
    """Logits are bent into -cap..cap by tanh."""

    def __call__(self, hidden: Tensor) -> Tensor:
        """Return the logits."""
        logits = self.linear(hidden if self.scale == 1.0 else hidden * self.scale)
        if self.bias is not None:
            logits = logits + self.bias
        return logits if self.cap is None else torch.tanh(logits / self.cap) * self.cap

    @property
    def is_trained(self) -> bool:
        """Whether the weights of the head are trained."""
        return any(parameter.requires_grad for parameter in self.linear.parameters())


def head_of(llm: "PreTrainedModel") -> Head | None:
    """Return the head of the model, or None for an unknown architecture.

    Without a head, the loss uses the logits of the model at all positions.
    """
    kind: str = llm.config.model_type
    if kind not in TESTED:
        return None
    config: Any = llm.config
    linear: Any = llm.get_output_embeddings()
    if kind in SOFT_CAPPED:
        return Head(linear=linear, cap=config.final_logit_softcapping)
    if kind in BIASED:
        bias: Any = llm.final_logits_bias
        return Head(linear=linear, bias=bias)
    if kind in SCALED and config.scale_decoder_outputs:
        return Head(linear=linear, scale=config.d_model**-0.5)
    return Head(linear=linear)


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

    if head is None:
        return loss(states, targets)
    if head.is_trained:
        return _recomputed(states, targets, loss=loss, chunk_tokens=chunk_tokens)
    if torch.is_grad_enabled() and states.requires_grad:
        return _FrozenHead.apply(states, targets, loss, chunk_tokens)
    chunks = zip(states.split(chunk_tokens), targets.split(chunk_tokens), strict=True)
    return sum((loss(*chunk) for chunk in chunks), start=states.new_zeros((), dtype=torch.float32))


def token_log_likelihoods(
    states: Tensor, targets: Tensor, *, head: Head | None, chunk_tokens: int = CHUNK_TOKENS
) -> Tensor:
    """Return the log-likelihood of each of N targets (N,). Arguments: see :func:`summed_cross_entropy`."""
    chunks = zip(states.split(chunk_tokens), targets.split(chunk_tokens), strict=True)
    logits = ((rows if head is None else head(rows), ids) for rows, ids in chunks)
    return torch.cat([-cross_entropy(rows.float(), ids, reduction="none") for rows, ids in logits])


def _recomputed(states: Tensor, targets: Tensor, *, loss: Loss, chunk_tokens: int) -> Tensor:
    total = states.new_zeros((), dtype=torch.float32)
    for chunk in zip(states.split(chunk_tokens), targets.split(chunk_tokens), strict=True):
        # A trained head needs gradients too, so the logits of a chunk are recomputed instead of kept.
        total = total + checkpoint(loss, *chunk, use_reentrant=False)
    return total


class _FrozenHead(torch.autograd.Function):
    """Summed loss with the gradient for the states, computed chunk by chunk in the forward pass."""

    @staticmethod
    def forward(ctx: Any, states: Tensor, targets: Tensor, loss: Loss, chunk_tokens: int) -> Tensor:
        gradient = torch.empty_like(states)
        total = states.new_zeros((), dtype=torch.float32)
        for start in range(0, len(states), chunk_tokens):
            rows = slice(start, start + chunk_tokens)
            with torch.enable_grad():
                chunk = states[rows].detach().requires_grad_()
                part = loss(chunk, targets[rows])
            # The logits of the chunk are freed here: only the gradient, as small as the states, is kept.
            (gradient[rows],) = torch.autograd.grad(part, chunk)
            total += part.detach()
        ctx.save_for_backward(gradient)
        return total

    @staticmethod
    @once_differentiable
    def backward(  # type: ignore[override]  # the decorator hides the parameters' names
        ctx: Any, *given: Tensor
    ) -> tuple[Tensor | None, ...]:
        (gradient,) = ctx.saved_tensors
        # The loss is scaled after the forward pass (accumulation, loss scaling), and gradients are linear.
        return gradient * given[0], None, None, None
