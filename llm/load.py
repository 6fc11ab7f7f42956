"""Load a language model and a tokenizer, by Hugging Face id or from a directory."""

import hashlib
import logging
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import torch
from transformers import (
    AutoConfig,
    AutoModelForCausalLM,
    AutoModelForSeq2SeqLM,
    AutoTokenizer,
    GenerationConfig,
    PreTrainedConfig,
    PreTrainedModel,
)

from ..core.device import Precision, resolve_dtype
from ..core.errors import ModelError
from ..core.files import read_json, sha256_file, visible
from ..core.hub import find_source, load_pretrained
from ..core.weights import check_folder
from .compatibility import check_architecture, check_inputs
from .config import Quantise
from .integrity import check_loaded, check_nf4_parts, check_tokenizer, folder_of
from .quantisation import check_quantised, quantisation_config, stop_repacking
from .vocabulary import TrimmedTokenizer

logger = logging.getLogger(__name__)

QUANTISED = "quantised.json"
"""File with the name of the original model, in a copy of ``fla quantise``."""
NOT_IN_FP16 = {"t5", "mt5", "umt5"}
"""Architectures whose activations exceed the range of fp16."""


@dataclass(frozen=True, kw_only=True)
class LanguageModel:
    """A frozen language model with tokenizer and source."""

    model: PreTrainedModel
    tokenizer: Any
    source: str
    """A Hugging Face id, or the absolute path of a directory."""
    revision: str
    """The id's commit, or a digest of the directory's config and weights."""
    was_quantised: bool = False
    """Whether the weights were stored in 4 bits."""
    quantised_from: dict[str, Any] | None = None
    """Original model and settings of a copy of ``fla quantise``. None for other models."""
    kept_ids: list[int] | None = None
    """Tokenizer ids of a trimmed model, ascending. None for a whole vocabulary."""

    def autocast(self, precision: Precision) -> torch.autocast:
        """Return the autocast context of computations with this model, for any context of the caller."""
        device = self.model.device
        # T5 overflows in fp16, also where the engine runs in fp16.
        dtype = without_fp16(resolve_dtype(precision, device), self.model.config.model_type)
        if dtype == torch.float32:
            return torch.autocast(device.type, enabled=False)
        return torch.autocast(device.type, dtype=dtype)


def without_fp16(dtype: torch.dtype, model_type: str) -> torch.dtype:
    """Return ``dtype``, or fp32 in place of fp16 for an architecture beyond the range of fp16."""
    return torch.float32 if dtype == torch.float16 and model_type in NOT_IN_FP16 else dtype


def load_llm(
    llm: str,
    *,
    quantise: Quantise,
    device: torch.device,
    dtype: torch.dtype,
    revision: str | None = None,
    kept_ids: list[int] | None = None,
    weights: Mapping[str, Any] | None = None,
) -> LanguageModel:
    """Load a language model ready to be frozen, in eval mode.

    Files on this disk are used first. Missing files are fetched.

    Args:
        llm: an id such as ``facebook/mbart-large-cc25``, or a directory.
        quantise: format of the linear layers.
        device: device of all weights.
        dtype: dtype of the computation and of weights that are not quantised.
        revision: commit or digest that the model must have. None accepts every revision.
        kept_ids: token ids of weights with a trimmed vocabulary. None for a whole vocabulary.
        weights: tensors by name, in place of the files of a directory. Values may also be lazy: ``[...]``
            gives the tensor. None reads the files.

    Raises:
        ModelError: the model does not exist, or is damaged. The revision differs from ``revision``. The
            architecture takes no features. The weights are quantised in another format.
    """
    source = find_source(llm)
    # A directory has no commits: its revision is a digest, which is compared below.
    commit = revision if source == llm else None
    config = load_pretrained(AutoConfig.from_pretrained, source, revision=commit)
    # Refuse before the weights are fetched, which may take hours.
    check_architecture(config, llm=llm)
    folder = folder_of(source, revision=commit)
    if folder is not None and weights is None:
        check_folder(folder)
    found = _revision(config, source)
    if revision not in (None, found):
        raise ModelError(
            f"--llm {llm} must be {revision}, the model that the run was tuned on, but is {found}: another, "
            "or it has changed since it was tuned.\nGive the model that the run was tuned on by --llm."
        )
    was_quantised = getattr(config, "quantization_config", None) is not None
    if was_quantised and folder is not None and weights is None:
        check_nf4_parts(folder, llm=llm)
    dtype = without_fp16(dtype, config.model_type)
    model = _load_weights(
        source, config, quantise=quantise, device=device, dtype=dtype, commit=commit, weights=weights, llm=llm
    )
    named = "The tokenizer of --llm {}"
    tokenizer = load_pretrained(AutoTokenizer.from_pretrained, source, named=named, revision=commit)
    check_tokenizer(tokenizer, folder, llm=llm)
    if kept_ids is not None:
        tokenizer = TrimmedTokenizer(tokenizer, kept_ids)
    check_inputs(model, tokenizer, llm=llm)
    logger.debug(f"{source} of revision {found}: {config.model_type}, {quantise}, {dtype}, on {device}")
    made_from = Path(source) / QUANTISED
    return LanguageModel(
        model=model,
        tokenizer=tokenizer,
        source=source,
        revision=found,
        was_quantised=was_quantised,
        quantised_from=read_json(made_from) if made_from.is_file() else None,
        kept_ids=kept_ids,
    )


def _load_weights(
    source: str,
    config: PreTrainedConfig,
    *,
    quantise: Quantise,
    device: torch.device,
    dtype: torch.dtype,
    commit: str | None,
    weights: Mapping[str, Any] | None,
    llm: str,
) -> PreTrainedModel:
    """Return the checked model, frozen and in eval mode, without generation settings from the checkpoint."""
    auto = AutoModelForSeq2SeqLM if config.is_encoder_decoder else AutoModelForCausalLM
    load: Callable[..., Any] = auto.from_pretrained
    if weights is not None:
        load = partial(_from_tensors, auto._model_mapping[type(config)], weights)
    setting = quantisation_config(quantise, compute_dtype=dtype)
    given: dict[str, Any] | None = getattr(config, "quantization_config", None)
    stored = config.dtype
    if given is not None:  # the 4-bit weights stay, but the compute dtype depends on this machine
        check_quantised(given, quantise=quantise, source=source)
        given["bnb_4bit_compute_dtype"] = str(dtype).removeprefix("torch.")
        setting = None
    said, _ = load_pretrained(PreTrainedConfig.get_config_dict, source, revision=commit)
    with _no_report():  # transformers prints a table of thirty lines, check_loaded one sentence
        model, info = load_pretrained(
            load,
            source,
            config=config,
            revision=commit,
            dtype=dtype,
            quantization_config=setting,
            device_map={"": str(device)},
            output_loading_info=True,
            ignore_mismatched_sizes=True,  # check_loaded refuses them by name
        )
    check_loaded(model, info, given=said, llm=llm)
    if given is not None:  # a quantised checkpoint ignores dtype for the weights that are not quantised
        _cast(model, stored, dtype)
    model.requires_grad_(False)
    stop_repacking(model)  # before anything is computed
    model.generation_config = _bare_generation(model)
    return model.eval()


def _from_tensors(kind: Any, weights: Mapping[str, Any], source: str, **settings: Any) -> Any:
    """Load from tensors, with the call of ``from_pretrained``."""
    del source  # transformers takes tensors only without a source of files
    return kind.from_pretrained(None, state_dict=weights, **settings)


@contextmanager
def _no_report() -> Iterator[None]:
    """Silence the report of transformers about tensors of other names or shapes."""
    reporter = logging.getLogger("transformers.modeling_utils")
    before = reporter.level
    reporter.setLevel(logging.ERROR)
    try:
        yield
    finally:
        reporter.setLevel(before)


def _cast(model: PreTrainedModel, old: Any, new: torch.dtype) -> None:
    """Cast weights from dtype ``old`` to dtype ``new`` in place."""
    for tensor in (*model.parameters(), *model.buffers()):
        # Other dtypes stay: 4-bit weights are bytes, and T5 needs some weights in fp32.
        if tensor.dtype == old:
            tensor.data = tensor.data.to(new)


def identify(llm: str, *, named: str = "--llm {}") -> tuple[str, str]:
    """Return ``source`` and ``revision`` of :class:`LanguageModel` without loading weights.

    Args:
        llm: an id, or a directory.
        named: names the model in errors; ``{}`` stands for ``llm``.

    Raises:
        ModelError: the model does not exist.
    """
    source = find_source(llm, named=named)
    return source, _revision(load_pretrained(AutoConfig.from_pretrained, source, named=named), source)


def _revision(config: PreTrainedConfig, source: str) -> str:
    return getattr(config, "_commit_hash", None) or _digest(Path(source))


def _digest(folder: Path) -> str:
    """Return SHA-256 over the config and every file of weights, by name."""
    digest = hashlib.sha256()
    for file in visible([folder / "config.json", *folder.glob("*.safetensors"), *folder.glob("*.bin")]):
        digest.update(f"{file.name} {sha256_file(file)}\n".encode())
    return digest.hexdigest()


def _bare_generation(model: PreTrainedModel) -> GenerationConfig:
    """Keep the ids of the model's own generation settings and nothing else.

    Sampling, lengths and forced tokens of a checkpoint would change the search without a warning.
    """
    own = model.generation_config
    names = ("bos_token_id", "decoder_start_token_id")
    return GenerationConfig(**{name: getattr(own, name, None) for name in names})
