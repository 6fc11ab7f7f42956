"""Integrity checks of a loaded language model: files, tensors and tokenizer."""

from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from transformers.utils.hub import cached_file

from ..core.errors import ModelError
from ..core.files import visible
from ..core.weights import describe_misfit

if TYPE_CHECKING:
    from transformers import PreTrainedModel

_TOKENIZER_FILES = ("tokenizer.json", "tokenizer.model", "tekken.json")
"""Tokenizer files beside the names in ``vocab_files_names``, which may be incomplete."""
_NF4_PARTS = ("absmax", "quant_map", "nested_absmax", "nested_quant_map", "quant_state.bitsandbytes__nf4")
_PULL = "Copy or fetch the model again."


def folder_of(source: str, *, revision: str | None) -> Path | None:
    """Return the folder of a model's files: a directory itself, or an id's snapshot on this disk."""
    if Path(source).is_dir():
        return Path(source)
    # An id that is not on the disk is no error here: the loader then fetches the files.
    settings: dict[str, Any] = {"_raise_exceptions_for_missing_entries": False}
    config = cached_file(source, "config.json", revision=revision, local_files_only=True, **settings)
    return Path(config).parent if config is not None else None


def check_loaded(
    model: "PreTrainedModel", info: Mapping[str, Any], *, given: Mapping[str, Any], llm: str
) -> None:
    """Check the origin of tensors: every tensor must come from the files of the model.

    transformers draws missing tensors at random, and ties a head that it does not find to the embedding.

    Args:
        model: the loaded model.
        info: ``from_pretrained``'s ``output_loading_info``, with ``ignore_mismatched_sizes``.
        given: content of the model's ``config.json``.
        llm: the model as the user named it.

    Raises:
        ModelError: tensors are missing, of another shape, or not numbers.
    """
    mismatched = [*info["mismatched_keys"], *_quantised_shapes(model)]
    misfit = describe_misfit(missing=info["missing_keys"], mismatched=mismatched)
    if misfit:
        extra = len(info["unexpected_keys"])
        beside = f" It has {extra} tensors of other names." if extra and info["missing_keys"] else ""
        raise ModelError(
            f"--llm {llm} must hold every tensor of a {model.config.model_type}, but {misfit}.{beside}\n"
            f"{_PULL}"
        )
    head, words = model.get_output_embeddings(), model.get_input_embeddings()
    # A lost head would be replaced by the embedding without a warning, and the model would write noise.
    if given.get("tie_word_embeddings") is False and head is not None and head.weight is words.weight:
        raise ModelError(
            f"--llm {llm} must hold a head and an embedding, as its config.json says (tie_word_embeddings: "
            f"false), but holds one of the two.\n{_PULL}"
        )
    check_finite(model, llm=llm)


def _quantised_shapes(model: "PreTrainedModel") -> Iterable[tuple[str, Any, Any]]:
    """Yield (name, shape found, wanted) of quantised weights, whose shapes the loader does not compare."""
    for name, module in model.named_modules():
        if not isinstance(module, torch.nn.Linear):
            continue
        state = getattr(module.weight, "quant_state", None)
        found = module.weight.shape if state is None else state.shape
        if tuple(found) != (module.out_features, module.in_features):
            yield f"{name}.weight", found, (module.out_features, module.in_features)


def check_finite(model: "PreTrainedModel", *, llm: str) -> None:
    """Check for NaN and infinity in the weights, and in the scales of quantised weights.

    Raises:
        ModelError: a tensor holds NaN or infinity. The message names up to three tensors.
    """
    bad = [name for name, tensor in _numbers(model) if not torch.isfinite(tensor.sum(dtype=torch.float32))]
    # A sum of large numbers can overflow: only then is every number looked at.
    bad = [name for name in bad if not torch.isfinite(dict(_numbers(model))[name]).all()]
    if bad:
        shown = ", ".join(bad[:3]) + ", ..." * (len(bad) > 3)
        raise ModelError(
            f"--llm {llm} must hold finite weights, but {len(bad)} tensors hold NaN or infinity ({shown}).\n"
            "Give a model that was saved whole; weights saved in fp16 may have overflowed."
        )


def _numbers(model: "PreTrainedModel") -> Iterable[tuple[str, torch.Tensor]]:
    """Yield tensors of floating-point numbers by name. Quantised weights are represented by the scales."""
    for name, tensor in (*model.named_parameters(), *model.named_buffers()):
        state, row_scales = getattr(tensor, "quant_state", None), getattr(tensor, "SCB", None)
        if state is not None:
            # Double quantisation stores scales as bytes and their mean apart: one NaN makes the mean NaN.
            yield name, state.absmax if state.offset is None else state.offset
        elif row_scales is not None:
            yield name, row_scales  # of int8 weights
        elif tensor.is_floating_point():
            yield name, tensor


def check_nf4_parts(folder: Path, *, llm: str) -> None:
    """Check the pairing in a 4-bit copy: each weight needs scales, and all scales need a weight.

    Raises:
        ModelError: a weight or a scale is missing. The message names the tensors.
    """
    from safetensors import safe_open

    names: set[str] = set()
    for file in visible(folder.glob("*.safetensors")):
        # Names come from the headers alone: no weight is read.
        with safe_open(file, framework="numpy") as tensors:
            names |= set(tensors.keys())
    ends = {part for part in _NF4_PARTS if any(name.endswith(f".{part}") for name in names)}
    weights = {name.removesuffix(f".{part}") for part in ends for name in names if name.endswith(f".{part}")}
    whole = {f"{weight}{end}" for weight in weights for end in ("", *(f".{part}" for part in ends))}
    if missing := whole - names:
        raise ModelError(
            f"--llm {llm} must hold each weight with its scales, but {describe_misfit(missing=missing)}.\n"
            f"{_PULL}"
        )


def check_tokenizer(tokenizer: Any, folder: Path | None, *, llm: str) -> None:
    """Check the origin of a tokenizer: transformers makes an empty tokenizer where files are missing.

    Raises:
        ModelError: the model's folder holds no file of a tokenizer.
    """
    if not tokenizer.vocab_files_names:  # ByT5 reads bytes: it has no vocabulary
        return
    names = {*_TOKENIZER_FILES, *tokenizer.vocab_files_names.values()}
    if folder is not None and not any((folder / name).is_file() for name in names):
        raise ModelError(
            f"--llm {llm} must hold a tokenizer ({', '.join(sorted(names))}), but {folder} does not.\n"
            "Copy the tokenizer's files beside the weights."
        )
