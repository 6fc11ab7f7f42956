"""A language model as its config alone draws it: every shape and number format, no weights.

Everything stands on the meta device, so a model of any size is there in a second or two.
"""

from pathlib import Path
from typing import Any

import torch
from torch import nn
from transformers import AutoConfig, AutoModelForCausalLM, AutoModelForSeq2SeqLM, PretrainedConfig
from transformers.pytorch_utils import Conv1D
from transformers.quantizers.base import get_keys_to_not_convert
from transformers.quantizers.quantizers_utils import should_convert_module

from ..core.errors import ModelError
from ..core.hub import find_source, load_pretrained
from ..llm.compatibility import refuse_other_tasks
from ..llm.config import Quantise

OWN_HEAD = "fla_own_head"  # set on a config whose checkpoint has a head that is not the embedding
_ENCODER_DEPTHS = ("num_hidden_layers", "encoder_layers", "num_layers")  # of an encoder-decoder
_DEPTHS = (*_ENCODER_DEPTHS, "decoder_layers", "num_decoder_layers")


def read_config(llm: str) -> PretrainedConfig:
    """Return the config of a model, given by id, directory or a bare ``config.json``.

    Raises:
        ModelError: there is none, or of an architecture that cannot be tuned.
    """
    source = llm if Path(llm).is_file() else find_source(llm)
    found, _ = load_pretrained(PretrainedConfig.get_config_dict, source)
    return config_from(found, name=llm)


def config_from(found: dict[str, Any], *, name: str) -> PretrainedConfig:
    """Return the config that the entries of a ``config.json`` describe.

    Raises:
        ModelError: the architecture is unknown, or not a language model of text alone.
    """
    entries = {
        key: value for key, value in found.items() if key not in ("model_type", "transformers_version")
    }
    try:
        config = AutoConfig.for_model(found.get("model_type", ""), **entries)
    except ValueError as error:
        raise ModelError(
            f"--llm {name}: model_type must be an architecture that transformers knows, "
            f"but is {found.get('model_type')!r}.\nGive another --llm."
        ) from error
    refuse_other_tasks(config, llm=name)
    # transformers 5 calls every T5 tied and looks at the weights for the truth: there are none here.
    own = config.is_encoder_decoder and found.get("tie_word_embeddings") is False
    setattr(config, OWN_HEAD, found.get(OWN_HEAD, own))
    return config


def skeleton(config: PretrainedConfig, *, dtype: torch.dtype) -> Any:
    """Return the model on the meta device; what is computed in ``dtype`` is kept in it."""
    with torch.device("meta"):
        model = _auto(config).from_config(config, dtype=dtype, trust_remote_code=False)
    head = model.get_output_embeddings()
    if getattr(config, OWN_HEAD, False) and head.weight is model.get_input_embeddings().weight:
        head.weight = nn.Parameter(torch.empty_like(head.weight))
    return model.requires_grad_(False)


def quantised_names(model: Any, quantise: Quantise) -> list[str]:
    """Return the modules whose weights are quantised, by the rule of transformers' own loader.

    That is every linear layer but the head, what is tied to it, and what the model keeps back (T5: ``wo``).
    """
    if quantise == "none":
        return []
    kept = [*get_keys_to_not_convert(model), *(model._keep_in_fp32_modules or [])]
    linear = [name for name, module in model.named_modules() if type(module) in (nn.Linear, Conv1D)]
    return [name for name in linear if should_convert_module(name, kept)]


def depths(config: PretrainedConfig) -> tuple[int, int]:
    """Return how many layers encoder and decoder have; a decoder-only model has no encoder."""
    if not config.is_encoder_decoder:
        return 0, config.num_hidden_layers
    encoder = getattr(config, "encoder_layers", None) or config.num_layers
    return encoder, getattr(config, "decoder_layers", None) or config.num_decoder_layers


def shortened(config: PretrainedConfig, *, encoder: int, decoder: int, positions: int) -> PretrainedConfig:
    """Return the config with so many layers, at least so many positions, and a vocabulary of a few words.

    What one layer does is that of the real one.
    """
    entries = config.to_dict()
    for name in _DEPTHS:
        if isinstance(entries.get(name), int):
            entries[name] = encoder if config.is_encoder_decoder and name in _ENCODER_DEPTHS else decoder
    if isinstance(entries.get("layer_types"), list):
        entries["layer_types"] = entries["layer_types"][: max(encoder, decoder)]
    if isinstance(entries.get("max_position_embeddings"), int):
        entries["max_position_embeddings"] = max(positions, entries["max_position_embeddings"])
    entries["vocab_size"] = 1 + max(_ids_in(entries), default=0)
    return config_from(entries, name=config.model_type)


def _ids_in(entries: dict[str, Any]) -> list[int]:
    """Return the special tokens, which the vocabulary must hold: real ones may be far up."""
    return [v for name, v in entries.items() if name.endswith("token_id") and isinstance(v, int)]


def _auto(config: PretrainedConfig) -> Any:
    return AutoModelForSeq2SeqLM if config.is_encoder_decoder else AutoModelForCausalLM
