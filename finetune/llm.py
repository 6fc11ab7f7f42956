"""Loading a language model and its tokenizer: by Hugging Face id, or from a directory."""

import hashlib
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, TypeVar

import torch
from huggingface_hub import constants as hub
from transformers import (
    AutoConfig,
    AutoModelForCausalLM,
    AutoModelForSeq2SeqLM,
    AutoTokenizer,
    GenerationConfig,
    PreTrainedConfig,
    PreTrainedModel,
)

from ..core.errors import ModelError
from ..core.files import read_json, sha256_file, visible
from ..core.progress import say
from .admission import check_architecture, check_inputs
from .config import Quantise
from .quantise import check_quantised, keep_gradients_on_cpu, quantisation_config
from .vocabulary import TrimmedTokenizer

T = TypeVar("T")
QUANTISED = "quantised.json"
"""In a copy made by ``fla quantise``: the model it was made from."""
NOT_IN_FP16 = {"t5", "mt5", "umt5"}
"""Their activations leave fp16's range; libraries that train them use bf16 or fp32."""


@dataclass(frozen=True, kw_only=True)
class LanguageModel:
    """A frozen language model, its tokenizer, and where both came from."""

    model: PreTrainedModel
    tokenizer: Any
    source: str
    """A Hugging Face id, or the absolute path of a directory."""
    revision: str
    """The id's commit, or a digest of the directory's config and weights."""
    was_quantised: bool = False
    """The weights lay on the disk in 4 bits already."""
    quantised_from: dict[str, Any] | None = None
    """Of a copy made by ``fla quantise``: the model it was made from, and how."""
    kept_ids: list[int] | None = None
    """Of a model whose vocabulary was trimmed: the tokenizer's ids that it has, ascending."""


def without_fp16(dtype: torch.dtype, model_type: str) -> torch.dtype:
    """Return ``dtype``, or fp32 where that is fp16 and the architecture does not stay within its range."""
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

    An id is looked for on this disk first and fetched only if it is not there.

    Args:
        llm: an id such as ``facebook/mbart-large-cc25``, or a directory.
        quantise: format of the linear layers.
        device: where the weights go, whole.
        dtype: what is computed in, and the format of what is not quantised.
        revision: the commit or digest the model must have; None takes what is there.
        kept_ids: the tokens that the weights on the disk were trimmed to; None where they are whole.
        weights: by name, tensors or what gives one for ``[...]``, in place of a directory's files; each is
            asked for when its turn comes. None reads the files.

    Raises:
        ModelError: there is no such model, it is not the one ``revision`` names, it is of an architecture
            that takes no features, or quantised in another way.
    """
    source = find_source(llm)
    commit = revision if source == llm else None
    config = load_pretrained(AutoConfig.from_pretrained, source, revision=commit)
    found = _revision(config, source)
    if revision not in (None, found):
        raise ModelError(f"{llm} must be {revision}, but is {found}: it has changed since it was tuned.")
    check_architecture(config, llm=llm)
    was_quantised = getattr(config, "quantization_config", None) is not None
    dtype = without_fp16(dtype, config.model_type)
    model = _load_weights(
        source, config, quantise=quantise, device=device, dtype=dtype, commit=commit, weights=weights
    )
    tokenizer = load_pretrained(AutoTokenizer.from_pretrained, source, revision=commit)
    if kept_ids is not None:
        tokenizer = TrimmedTokenizer(tokenizer, kept_ids)
    check_inputs(model, tokenizer, llm=llm)
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
) -> PreTrainedModel:
    """Return the model, frozen and in eval mode, without generation settings of its own."""
    auto = AutoModelForSeq2SeqLM if config.is_encoder_decoder else AutoModelForCausalLM
    load: Callable[..., PreTrainedModel] = auto.from_pretrained
    if weights is not None:
        load = partial(_from_tensors, auto._model_mapping[type(config)], weights)
    setting = quantisation_config(quantise, compute_dtype=dtype)
    given: dict[str, Any] | None = getattr(config, "quantization_config", None)
    stored = config.dtype
    if given is not None:  # its four bits are kept, but what is computed in is this machine's affair
        check_quantised(given, quantise=quantise, source=source)
        given["bnb_4bit_compute_dtype"] = str(dtype).removeprefix("torch.")
        setting = None
    model = load_pretrained(
        load,
        source,
        config=config,
        revision=commit,
        dtype=dtype,
        quantization_config=setting,
        device_map={"": str(device)},
    )
    if given is not None:  # whose other weights come as they were stored, whatever is asked for
        _cast(model, stored, dtype)
    model.requires_grad_(False)
    keep_gradients_on_cpu(model)  # before anything is computed
    model.generation_config = _bare_generation(model)
    return model.eval()


def _from_tensors(kind: Any, weights: Mapping[str, Any], source: str, **settings: Any) -> PreTrainedModel:
    """Load as from files; transformers takes tensors only where no source of files is named."""
    del source
    return kind.from_pretrained(None, state_dict=weights, **settings)


def _cast(model: PreTrainedModel, old: Any, new: torch.dtype) -> None:
    """Give weights of format ``old`` the format ``new``; 4-bit ones are bytes, and T5 keeps some in fp32."""
    for tensor in (*model.parameters(), *model.buffers()):
        if tensor.dtype == old:
            tensor.data = tensor.data.to(new)


def identify(llm: str) -> tuple[str, str]:
    """Return the source and the revision of a model as :class:`LanguageModel` has them, without loading it.

    Raises:
        ModelError: there is no such model.
    """
    source = find_source(llm)
    return source, _revision(load_pretrained(AutoConfig.from_pretrained, source), source)


def find_source(llm: str) -> str:
    """Return a directory's absolute path, or ``llm`` as it is where it is an id."""
    path = Path(llm).expanduser()
    if path.is_dir():
        if not (path / "config.json").is_file():
            raise ModelError(f"{llm} must be a model's directory, but holds no config.json.")
        return str(path.resolve())
    # "runs/llm" would be a valid id too: where there is a folder runs, it is a path that does not exist.
    looks_like_path = llm.startswith((".", "/", "~")) or llm.count("/") > 1
    if looks_like_path or (path.parent != Path() and path.parent.is_dir()):
        raise ModelError(f"--llm {llm}: there is no such directory.")
    return llm


def load_pretrained(load: Callable[..., T], source: str, **settings: Any) -> T:
    """Return what ``load`` makes of a source, from this disk first.

    Args:
        load: one of transformers' ``from_pretrained`` and their like.
        source: as :func:`find_source` gives it.
        settings: handed to ``load``.

    Raises:
        ModelError: it is neither on this disk nor to be fetched.
    """
    try:
        return load(source, local_files_only=True, **settings)
    except (OSError, ValueError) as error:
        if Path(source).is_dir():
            raise ModelError(f"{source} cannot be loaded: {_first_line(error)}") from error
        if hub.HF_HUB_OFFLINE:
            raise ModelError(
                f"--llm {source} is not on this disk, and HF_HUB_OFFLINE forbids fetching it.\n"
                "Unset HF_HUB_OFFLINE, or give a directory that holds the model."
            ) from error
    return _fetch(load, source, **settings)


def _fetch(load: Callable[..., T], source: str, **settings: Any) -> T:
    say(f"{source} is not on this disk: fetching what is missing")
    try:
        return load(source, **settings)
    except (OSError, ValueError) as error:
        raise ModelError(
            f"--llm {source} is not on this disk and cannot be fetched: {_first_line(error)}\n"
            "Check the id and the connection, or give a directory that holds the model."
        ) from error


def _first_line(error: Exception) -> str:
    return str(error).strip().partition("\n")[0]


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

    Sampling, lengths and forced tokens that came with a checkpoint would mix with ours unseen.
    """
    own = model.generation_config
    names = ("bos_token_id", "decoder_start_token_id")
    return GenerationConfig(**{name: getattr(own, name, None) for name in names})
