"""Checks of weight files: complete files, and tensors with the expected names and shapes."""

from collections.abc import Collection, Iterable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from .errors import ModelError
from .files import read_json, visible

if TYPE_CHECKING:
    from torch import Tensor, nn

_LFS = b"version https://git-lfs"
_SHOWN = 3  # names of tensors in a sentence


def check_file(path: Path) -> None:
    """Check a safetensors file for missing bytes. Only the header is read.

    Raises:
        ModelError: the file is absent, truncated, a Git LFS pointer, or not in safetensors format.
    """
    from safetensors import SafetensorError, safe_open

    check_content(path)
    try:
        with safe_open(path, framework="numpy"):
            pass
    except (SafetensorError, OSError) as error:
        raise ModelError(f"{path} is damaged: {error}.\nCopy or fetch the file again.") from error


def check_content(path: Path) -> None:
    """Check that a file exists, is not empty, and is no Git LFS pointer.

    Raises:
        ModelError: the file is absent, empty, or a Git LFS pointer.
    """
    if not path.is_file():
        raise ModelError(f"{path} does not exist.\nCopy or fetch the model again.")
    with path.open("rb") as file:
        beginning = file.read(len(_LFS))
    if not beginning:
        raise ModelError(f"{path} is empty.\nCopy or fetch the file again.")
    if beginning == _LFS:
        raise ModelError(
            f"{path} is a Git LFS pointer, which stands for the file and does not hold it.\n"
            "Run git lfs pull in that folder, or fetch the file again."
        )


def check_folder(folder: Path) -> None:
    """Check every weight file in a model's folder. No shard of an index may be absent.

    Raises:
        ModelError: a file is absent, truncated, or a Git LFS pointer.
    """
    for index in visible(folder.glob("*.index.json")):
        listed = read_json(index)
        shards = listed.get("weight_map") if isinstance(listed, dict) else None
        if not isinstance(shards, dict):
            raise ModelError(f"{index} must list tensors under 'weight_map', but does not.")
        if absent := sorted({shard for shard in shards.values() if not (folder / shard).is_file()}):
            names = [name for name, shard in shards.items() if shard in absent]
            raise ModelError(
                f"{folder} lacks {', '.join(absent)}, which {index.name} names for {_listed(names)}.\n"
                "Copy or fetch the model again."
            )
    for file in visible(folder.glob("*.safetensors")):
        check_file(file)
    others = ("*.bin", "tokenizer*.json", "*.model")
    for file in visible(path for pattern in others for path in folder.glob(pattern)):
        check_content(file)


def read_tensors(path: Path) -> "dict[str, Tensor]":
    """Return the tensors of a safetensors file.

    Raises:
        ModelError: the file is absent, truncated, a Git LFS pointer, or not in safetensors format.
    """
    from safetensors.torch import load_file

    check_file(path)
    return load_file(path)


def load_into(module: "nn.Module", path: Path, *, of: str) -> None:
    """Load all tensors of a weight file into a module.

    Args:
        module: module to fill.
        path: the weight file.
        of: name of the module, for the error.

    Raises:
        ModelError: the file is damaged, or its tensors have other names or shapes.
    """
    load_tensors(module, read_tensors(path), file=path, of=of)


def load_tensors(module: "nn.Module", found: "Mapping[str, Tensor]", *, file: Path, of: str) -> None:
    """Load tensors of a file into a module, all of its tensors and no others.

    Args:
        module: module to fill.
        found: tensors by their names in the module.
        file: the file, for the error.
        of: name of the module, for the error.

    Raises:
        ModelError: the tensors have other names or shapes.
    """
    wanted = module.state_dict()
    if misfit := describe_misfit(
        missing=wanted.keys() - found.keys(),
        unexpected=found.keys() - wanted.keys(),
        mismatched=shape_faults(found, wanted),
    ):
        raise ModelError(f"{file} does not fit {of}: it {misfit}.")
    module.load_state_dict(found)


def shape_faults(found: Mapping[str, Any], wanted: Mapping[str, Any]) -> list[tuple[str, Any, Any]]:
    """Return (name, shape found, shape wanted) of each tensor whose shapes differ."""
    both = sorted(found.keys() & wanted.keys())
    return [(n, found[n].shape, wanted[n].shape) for n in both if found[n].shape != wanted[n].shape]


def describe_misfit(
    *,
    missing: Collection[str] = (),
    unexpected: Collection[str] = (),
    mismatched: Iterable[tuple[str, Any, Any]] = (),
) -> str:
    """Return the faults of a file's tensors, as the rest of a sentence. Empty: no fault.

    >>> describe_misfit(missing=["a", "b"], mismatched=[("c", (2, 3), (3, 3))])
    'lacks 2 tensors (a, b) and has c in shape [2, 3] in place of [3, 3]'
    """
    shapes = [f"{name} in shape {list(was)} in place of {list(due)}" for name, was, due in mismatched]
    parts = [
        f"lacks {_listed(missing)}" if missing else "",
        f"has {_listed(unexpected)} too many" if unexpected else "",
        f"has {_few(shapes)}" if shapes else "",
    ]
    return " and ".join(filter(None, parts))


def _listed(names: Collection[str]) -> str:
    return f"{len(names)} tensor{'s' * (len(names) > 1)} ({_few(sorted(names))})"


def _few(names: Collection[str]) -> str:
    shown = list(names)[:_SHOWN]
    return ", ".join([*shown, "..."] if len(names) > _SHOWN else shown)
