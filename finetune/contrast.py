"""Optional contrastive loss: a clip near its own sentence, far from other sentences."""

import logging
from contextlib import nullcontext
from dataclasses import replace
from typing import Any

import torch
import torch.distributed as dist
from peft import PeftModel
from torch import Tensor
from torch.distributed.nn.functional import all_gather
from torch.nn.functional import cross_entropy, normalize, pad

from ..core.errors import ConfigError
from ..llm.conditioned_lm import ConditionedLM, Conditioning, label_counts
from ..llm.seq2seq import Seq2SeqLM
from ..training.processes import gather_all
from .config import ContrastiveConfig, TuneConfig

logger = logging.getLogger(__name__)

MEANINGFUL_CLIPS = 8
"""Smallest useful batch. The loss compares sentences in a batch, and is 0 for a single clip."""


def contrastive_loss(
    conditioning: Conditioning, labels: Tensor, *, lm: ConditionedLM, adapted: Any, config: ContrastiveConfig
) -> Tensor:
    """Return the contrastive loss of a batch, the mean over the clips of all processes.

    Args:
        conditioning: projected features of B clips.
        labels: tokens of the sentences, an end token last (B, L).
        lm: the language model.
        adapted: the same with adapters, or without.
        config: settings of the loss.
    """
    lengths = torch.tensor(label_counts(labels), device=labels.device) - 1  # without the end token
    ids = labels.clamp(min=0)
    if isinstance(lm, Seq2SeqLM) and config.at == "encoder":
        clips = pool(*lm.encoded(conditioning))
        texts = pool(*_encoded_text(conditioning, ids, lengths, lm=lm, adapted=adapted))
    else:
        clips = pool(conditioning.features, conditioning.feature_lengths)
        with torch.no_grad():  # the sentence is where features are to go, and stays where it is
            texts = pool(lm.embed_ids(ids), lengths)
    # Clips of other processes are further sentences to differ from. MMSLT compares those of a GPU alone.
    return alignment_loss(gather_rows(clips), gather_rows(texts), temperature=config.temperature)


def alignment_loss(clips: Tensor, texts: Tensor, *, temperature: float) -> Tensor:
    """Return the symmetric InfoNCE loss between pooled features and pooled text, the mean over clips.

    Args:
        clips: pooled features (B, D).
        texts: pooled embeddings (B, D).
        temperature: divisor of the cosines.

    Source: CLIP (Radford et al., 2021), figure 3.
    """
    # fp32: cosines divided by a small temperature would lose digits in bf16.
    logits = normalize(clips.float(), dim=-1) @ normalize(texts.float(), dim=-1).T / temperature
    # Clips with the same sentence need no mask: the text is the same point, and the pushes cancel.
    own = torch.arange(len(logits), device=logits.device)
    return (cross_entropy(logits, own) + cross_entropy(logits.T, own)) / 2


def pool(rows: Tensor, lengths: Tensor) -> Tensor:
    """Return the mean of each row's first ``lengths`` positions: (B, S, D), (B,) -> (B, D).

    >>> pool(torch.tensor([[[1.0], [3.0], [9.0]]]), torch.tensor([2]))
    tensor([[2.]])
    """
    valid = torch.arange(rows.shape[1], device=rows.device) < lengths[:, None]
    total = rows.float().masked_fill(~valid[..., None], 0.0).sum(dim=1)
    # An empty sentence has length 0.
    return total / lengths.clamp(min=1)[:, None]


def gather_rows(rows: Tensor) -> Tensor:
    """Return the rows (B, D) of all processes in the order of ranks. Gradients go back to their process."""
    if not dist.is_initialized():
        return rows
    counts = gather_all([len(rows)])
    # Equal shapes are a condition of the collective operation, and batches differ in clips.
    parts = all_gather(pad(rows, (0, 0, 0, max(counts) - len(rows))))
    return torch.cat([part[:count] for part, count in zip(parts, counts, strict=True)])


def check_contrast(config: TuneConfig, llm: Any) -> None:
    """Refuse a contrastive loss that the language model cannot have, and warn of small batches.

    Raises:
        ConfigError: the loss compares outputs of an encoder, and the model has none.
    """
    own, clips = config.contrastive, config.training.batch_clips
    if own.weight > 0 and own.at == "encoder" and not llm.config.is_encoder_decoder:
        raise ConfigError(
            "'contrastive.at' must be embeddings for a model without an encoder, but is encoder for "
            f"{llm.config.model_type!r}.\nSet contrastive.at=embeddings, or give an encoder-decoder model."
        )
    if own.weight > 0 and clips < MEANINGFUL_CLIPS:
        logger.warning(
            f"A contrastive loss over {clips} clips means little: set training.batch_clips to at least "
            f"{MEANINGFUL_CLIPS}. Accumulated batches do not count."
        )


@torch.no_grad()
def _encoded_text(
    conditioning: Conditioning, ids: Tensor, lengths: Tensor, *, lm: Seq2SeqLM, adapted: Any
) -> tuple[Tensor, Tensor]:
    """Return the outputs of the encoder for sentences, without adapters and dropout, and their lengths."""
    # A sentence takes the place of the prompt, beside no features.
    alone = replace(
        conditioning, features=conditioning.features[:, :0], feature_lengths=torch.zeros_like(lengths),
        prompt_ids=ids, prompt_lengths=lengths,
    )  # fmt: skip
    was_training = adapted.training
    # The target of a sentence is one point: dropout and adapters would move it.
    adapted.eval()
    try:
        with adapted.disable_adapter() if isinstance(adapted, PeftModel) else nullcontext():
            return lm.encoded(alone)
    finally:
        adapted.train(was_training)
