"""Vocabulary trimming: embedding, head and biases of a language model keep only the rows of needed tokens.

mBART has 250,000 rows of 1,024 numbers, most of the model. A corpus uses a few thousand rows.
"""

import logging
from collections.abc import Iterator, Sequence
from dataclasses import replace
from typing import Any

import torch
from torch import Tensor, nn

from ..core.errors import ModelError
from .compatibility import TOLERANCE, relative_difference
from .load import LanguageModel
from .vocabulary import TrimmedTokenizer, config_ids

logger = logging.getLogger(__name__)

CHECK_TOKENS = 8
_LISTED = ("bad_words_ids", "suppress_tokens", "begin_suppress_tokens", "forced_decoder_ids", "sequence_bias")


def trim(language_model: LanguageModel, kept: Sequence[int]) -> LanguageModel:
    """Replace the weights of the model by the rows of the tokens ``kept``. Tied weights stay tied.

    Embeddings and heads are never quantised, so trimming is the same in every format.

    Args:
        language_model: model without adapters.
        kept: ids of the tokenizer, ascending. Id i of the trimmed model is ``kept[i]``.

    Raises:
        ModelError: the config of the model names an id that is not kept, or trimming changes logits.
    """
    model: Any = language_model.model
    rows = model.get_input_embeddings().weight.shape[0]
    if kept[-1] >= rows:
        raise ModelError(f"Kept ids must be below {rows}, the model's vocabulary, but reach {kept[-1]}.")
    check = list(kept[:CHECK_TOKENS])
    expected = _logits(model, check)[..., list(kept)]
    for settings in (model.config, model.generation_config):
        _map_ids(settings, kept)
    cut_rows(model, torch.tensor(kept, device=model.device))
    model.config.vocab_size = len(kept)
    difference = relative_difference(_logits(model, list(range(len(check)))), expected)
    # In 16 bits too: both models compute the same states, and only the head has another shape.
    if not difference <= TOLERANCE:  # not a number is refused too
        raise ModelError(
            f"The logits of a trimmed {model.config.model_type!r} must be those of the whole model, but "
            f"differ by {difference:.0%}.\nTune it without --trim-vocab."
        )
    logger.info(f"the vocabulary is trimmed to {len(kept)} of {rows} tokens")
    tokenizer = TrimmedTokenizer(language_model.tokenizer, kept)
    return replace(language_model, tokenizer=tokenizer, kept_ids=list(kept))


def cut_rows(model: Any, kept: Tensor) -> None:
    """Keep the rows ``kept`` of every tensor with a row for each token."""
    whole = list(_tensors_by_token(model))
    cut: dict[int, nn.Parameter] = {id(p): nn.Parameter(p.data[kept], requires_grad=False) for p in whole}
    for module in model.modules():
        for name, parameter in list(module.named_parameters(recurse=False, remove_duplicate=False)):
            if id(parameter) in cut:
                setattr(module, name, cut[id(parameter)])
                _resize(module, model.config, size=len(kept))
    if isinstance(getattr(model, "final_logits_bias", None), Tensor):  # a buffer of BART's family, (1, V)
        model.final_logits_bias = model.final_logits_bias[:, kept]


def _tensors_by_token(model: Any) -> Iterator[nn.Parameter]:
    head = model.get_output_embeddings()
    yield model.get_input_embeddings().weight
    yield head.weight
    if getattr(head, "bias", None) is not None:
        yield head.bias


def _resize(module: Any, config: Any, *, size: int) -> None:
    """Update the token count in the attributes of a module."""
    if isinstance(module, nn.Embedding):
        module.num_embeddings = size
        module.padding_idx = None if module.padding_idx is None else config.pad_token_id
    elif isinstance(module, nn.Linear):
        module.out_features = size


def _map_ids(settings: Any, kept: Sequence[int]) -> None:
    """Replace the token ids in a config or in generation settings by the ids of the trimmed model."""
    own = {theirs: ours for ours, theirs in enumerate(kept)}
    for name in _LISTED:
        if getattr(settings, name, None):
            raise ModelError(
                f"The model's {name!r} must be empty where the vocabulary is trimmed, but is "
                f"{getattr(settings, name)}.\nTune it without --trim-vocab."
            )
    for name, index in config_ids(settings):
        if index not in own:
            raise ModelError(
                f"The model's {name!r} must be a token that is kept, but is {index}.\n"
                "Tune it without --trim-vocab."
            )
    for name in {name for name, _ in config_ids(settings)}:
        value = getattr(settings, name)
        setattr(settings, name, [own[i] for i in value] if isinstance(value, list) else own[value])


@torch.no_grad()
def _logits(model: Any, ids: list[int]) -> Tensor:
    """Return logits (1, S, V) of a row of tokens, read by encoder and decoder alike."""
    row = torch.tensor([ids], device=model.device)
    inputs = {"input_ids": row, "attention_mask": torch.ones_like(row)}
    if model.config.is_encoder_decoder:
        inputs["decoder_input_ids"] = row
    return model(**inputs, use_cache=False).logits.float()
