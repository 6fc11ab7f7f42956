"""Compatibility checks: can a language model read features in place of token embeddings?

A model passes if ``inputs_embeds`` and the token ids of these embeddings give the same logits. Other models
would read the features wrongly without an error.
"""

import inspect
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

from ..core.errors import ModelError
from .conditioned_lm import positions_of

if TYPE_CHECKING:
    from transformers import PreTrainedConfig, PreTrainedModel

SERVED = "mBART, NLLB, T5, mT5, Llama, Qwen 2 and 3, Gemma 1 to 3 (text), Mistral, XGLM, Phi"
# Beginnings of ``model_type``; their larger members have no per-layer embeddings, and are as untested.
FROM_IDS = ("gemma3n", "gemma4", "embedding_gemma2", "diffusion_gemma")
CHECK_TEXT = "Translate the signed sentence: 1 2 3"
MAX_CHECK_TOKENS = 8
CHECK_PADDING = 3
TOLERANCE, ROUNDED_TOLERANCE = 0.01, 0.1
"""Largest :func:`relative_difference` of equal logits, for fp32 and for 16-bit formats.

A GPU adds up in another order for another length. In bf16 the logits of SmolLM2-135M (30 layers) are 0.03
away from those in fp32. Embeddings of twice the size move them by 0.27, and ignored padding by 0.73.
"""


def check_architecture(config: "PreTrainedConfig", *, llm: str) -> None:
    """Refuse an architecture without a path for features.

    Args:
        config: config of the model.
        llm: model as the user named it.

    Raises:
        ModelError: the model makes inputs from token ids, or is composed of several models.
    """
    kind: str = config.model_type
    parts = _parts(config)
    refuse_other_tasks(config, llm=llm)
    if kind.startswith(FROM_IDS) or getattr(config, "hidden_size_per_layer_input", 0):
        reason = "it makes a part of its inputs from token ids (per-layer embeddings), which features lack"
    elif parts:
        reason = f"it is composed of several models ({', '.join(parts)})"
    else:
        return
    raise ModelError(
        f"--llm {llm} must be a plain text model, but is {kind!r}: {reason}.\n"
        f"Give a text-only model, such as {SERVED}."
    )


def refuse_other_tasks(config: "PreTrainedConfig", *, llm: str) -> None:
    """Refuse a model without text output.

    Raises:
        ModelError: transformers has no causal or sequence-to-sequence class for the config, or the model is
            an encoder alone, as BERT is.
    """
    from transformers import AutoModelForCausalLM, AutoModelForMaskedLM, AutoModelForSeq2SeqLM

    writer = AutoModelForSeq2SeqLM if config.is_encoder_decoder else AutoModelForCausalLM
    fills_blanks = type(config) in AutoModelForMaskedLM._model_mapping
    # GPT-NeoX says is_decoder: false too, but fills no blanks. BERT can be loaded as a causal model.
    is_encoder = fills_blanks and getattr(config, "is_decoder", None) is False
    is_encoder = is_encoder and not config.is_encoder_decoder
    if is_encoder or type(config) not in writer._model_mapping:
        what = "an encoder alone, which writes no text" if is_encoder else "not made to write text"
        raise ModelError(
            f"--llm {llm} must be a language model of text, but is a {config.model_type}: {what}.\n"
            f"Give another, such as {SERVED}."
        )


def check_inputs(model: "PreTrainedModel", tokenizer: Any, *, llm: str) -> None:
    """Refuse a model whose logits differ between ids and embeddings, or depend on padding or later words.

    Raises:
        ModelError: logits differ, or are not finite, or the model takes no ``inputs_embeds``.
    """
    if "inputs_embeds" not in inspect.signature(model.forward).parameters:
        raise ModelError(
            f"--llm {llm} must take inputs_embeds, but {type(model).__name__} does not.\n"
            f"Give another, such as {SERVED}."
        )
    tokens = tokenizer(CHECK_TEXT)["input_ids"][:MAX_CHECK_TOKENS]
    if not tokens:
        raise ModelError(f"--llm {llm}: its tokenizer must split {CHECK_TEXT!r} into tokens, but finds none.")
    check_ids(tokens, model.config, tokenizer, text=CHECK_TEXT)
    ids = torch.tensor([tokens], device=model.device)
    embeds = model.get_input_embeddings()(ids)
    # The logits from ids are the reference for all comparisons below.
    from_ids = _logits(model, input_ids=ids)
    if not from_ids.isfinite().all():
        raise ModelError(
            f"--llm {llm} must give finite logits, but gives NaN or infinity for {CHECK_TEXT!r}.\n"
            "Give a model whose weights are whole, or another training.precision."
        )
    _refuse_difference(model, from_ids, _logits(model, inputs_embeds=embeds), llm=llm, to="embeddings")
    if not model.config.is_encoder_decoder:
        first = _logits(model, input_ids=ids[:, : (len(tokens) + 1) // 2])
        why = "it reads words that follow"
        whole = from_ids[:, : first.shape[1]]
        _refuse_difference(model, whole, first, llm=llm, to="the first words alone", why=why)
        # In generation prefixes are padded in front.
        padded = torch.nn.functional.pad(embeds, (0, 0, CHECK_PADDING, 0))
        found = _logits(model, padding=CHECK_PADDING, inputs_embeds=padded)[:, CHECK_PADDING:]
        _refuse_difference(model, from_ids, found, llm=llm, to="padded embeddings")


def check_ids(ids: Sequence[int], config: "PreTrainedConfig", tokenizer: Any, *, text: str) -> None:
    """Refuse token ids without an embedding in the model.

    Args:
        ids: token ids of ``text``.
        config: config of the model.
        tokenizer: tokenizer of the model.
        text: a sentence or prompt.

    Raises:
        ModelError: an id lies beyond the embedding. The message names the token.
    """
    rows = getattr(config, "vocab_size", None)
    if rows is not None and max(ids, default=-1) >= rows:
        far = max(ids)
        raise ModelError(
            f"The model has {rows} token embeddings, but its tokenizer gives {tokenizer.decode([far])!r} in "
            f"{text!r} the id {far}.\nGive a model whose tokenizer belongs to its weights."
        )


def tolerance(dtype: torch.dtype) -> float:
    """Return the largest relative difference of equal logits that were computed in ``dtype``."""
    return TOLERANCE if dtype == torch.float32 else ROUNDED_TOLERANCE


def relative_difference(found: Tensor, expected: Tensor) -> float:
    """Return the root mean square of the difference, as a share of that of the expected numbers.

    >>> relative_difference(torch.tensor([0.0, 5.0]), torch.tensor([0.0, 4.0]))
    0.25
    """
    # The largest difference would grow with the vocabulary.
    return ((found - expected).norm() / expected.norm()).item()


def _parts(config: "PreTrainedConfig") -> list[str]:
    from transformers import PreTrainedConfig

    return [name for name, value in vars(config).items() if isinstance(value, PreTrainedConfig)]


def _refuse_difference(
    model: Any, expected: Tensor, found: Tensor, *, llm: str, to: str, why: str = ""
) -> None:
    difference = relative_difference(found, expected)
    if not difference <= tolerance(model.dtype):  # not a number is refused too
        raise ModelError(
            f"--llm {llm} must answer to {to} as to the ids they stand for, but its logits differ by "
            f"{difference:.0%}: {why or f'{model.config.model_type!r} builds its inputs in another way'}.\n"
            f"Give another, such as {SERVED}."
        )


@torch.no_grad()
def _logits(model: Any, *, padding: int = 0, **source: Tensor) -> Tensor:
    shape = next(iter(source.values())).shape[:2]
    mask = torch.ones(shape, dtype=torch.long, device=model.device)
    mask[:, :padding] = 0
    source["attention_mask"] = mask
    if model.config.is_encoder_decoder:
        source["decoder_input_ids"] = mask[:, :1]  # any token will do
    elif "position_ids" in inspect.signature(model.forward).parameters:
        source["position_ids"] = positions_of(mask)
    return model(**source, use_cache=False).logits.float()
