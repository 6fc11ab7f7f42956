"""Language model built from a config alone: every shape and number format, no weights.

All tensors are on the meta device, so a model of any size is built within a second or two.
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
        ModelError: the model does not exist, or the architecture cannot be tuned.
    """
    source = llm if Path(llm).is_file() else find_source(llm)
    found, _ = load_pretrained(PretrainedConfig.get_config_dict, source)
    return config_from(found, name=llm)


def config_from(found: dict[str, Any], *, name: str) -> PretrainedConfig:
    """Return the config with the entries of a ``config.json``.

    Raises:
        ModelError: the architecture is unknown, or is not a language model of text alone.
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
    # transformers 5 calls every T5 tied and reads the truth from the weights, which are absent here.
    own = config.is_encoder_decoder and found.get("tie_word_embeddings") is False
    setattr(config, OWN_HEAD, found.get(OWN_HEAD, own))
    return config


def build_on_meta(config: PretrainedConfig, *, dtype: torch.dtype) -> Any:
    """Return the frozen model on the meta device, with numbers in ``dtype``."""
    with torch.device("meta"):
        # A plan must not run code that came with a config.
        model = _auto_class(config).from_config(config, dtype=dtype, trust_remote_code=False)
    head = model.get_output_embeddings()
    if getattr(config, OWN_HEAD, False) and head.weight is model.get_input_embeddings().weight:
        head.weight = nn.Parameter(torch.empty_like(head.weight))
    return model.requires_grad_(False)


def quantised_names(model: Any, quantise: Quantise) -> list[str]:
    """Return the modules whose weights are quantised, by the rule of transformers' own loader.

    These are all linear layers except the head, what is tied to it, and what the model keeps (T5: ``wo``).
    """
    if quantise == "none":
        return []
    kept = [*get_keys_to_not_convert(model), *(model._keep_in_fp32_modules or [])]
    linear = [name for name, module in model.named_modules() if type(module) in (nn.Linear, Conv1D)]
    return [name for name in linear if should_convert_module(name, kept)]


def layer_counts(config: PretrainedConfig) -> tuple[int, int]:
    """Return the number of layers of encoder and decoder. A decoder-only model has no encoder."""
    if not config.is_encoder_decoder:
        return 0, config.num_hidden_layers
    # BART and NLLB say encoder_layers, T5 says num_layers.
    encoder = getattr(config, "encoder_layers", None) or config.num_layers
    return encoder, getattr(config, "decoder_layers", None) or config.num_decoder_layers


def shortened(config: PretrainedConfig, *, layers: int) -> PretrainedConfig:
    """Return the config with ``layers`` layers in each stack and a vocabulary of special tokens.

    The layers themselves have the shapes of the real ones.
    """
    entries = config.to_dict()
    entries |= {name: layers for name in _DEPTHS if isinstance(entries.get(name), int)}
    if isinstance(entries.get("layer_types"), list):
        entries["layer_types"] = (entries["layer_types"] * layers)[:layers]  # of a model of one layer too
    special = [v for name, v in entries.items() if name.endswith("token_id") and isinstance(v, int)]
    # An embedding refuses a padding id outside the vocabulary.
    entries["vocab_size"] = 1 + max(special, default=0)
    return config_from(entries, name=config.model_type)


def _auto_class(config: PretrainedConfig) -> Any:
    return AutoModelForSeq2SeqLM if config.is_encoder_decoder else AutoModelForCausalLM
