"""Weight files of timm models: names on the hub, and files that the user names."""

from pathlib import Path
from typing import Any

import timm
from huggingface_hub import try_to_load_from_cache

from ..core.errors import ModelError
from ..core.files import read_json, visible
from ..core.hub import check_reachable, refuse_offline

WEIGHT_FILES = (
    "model.safetensors",
    "open_clip_model.safetensors",
    "pytorch_model.bin",
    "open_clip_pytorch_model.bin",
)
"""Names that timm looks for on the hub, the preferred first."""
_SAFE_FILES = tuple(name for name in WEIGHT_FILES if name.endswith(".safetensors"))
_PICKLED = (".bin", ".pth", ".pt", ".ckpt", ".tar")


def check_weights_at_hand(name: str, *, key: str) -> None:
    """Check that timm's weights of a model are on this disk, or else, by one request, on the hub.

    Args:
        name: the model.
        key: the setting that asks for the weights.

    Raises:
        ModelError: the weights are not at hand.
    """
    known = timm.get_pretrained_cfg(name)
    repo = (known.hf_hub_id or "").partition("@")[0] if known is not None else ""
    if not repo or any(isinstance(try_to_load_from_cache(repo, file), str) for file in WEIGHT_FILES):
        return  # weights outside the hub are timm's own affair
    own = key.removesuffix("pretrained") + "weights"
    remedy = (
        f"Connect once so that they are kept, or name a file by --set {own}=PATH, or set {key}=false for "
        "random weights."
    )
    named = f"The file of weights of backbone {name}"
    refuse_offline(repo, named=named, remedy=remedy)
    check_reachable(repo, named=named, remedy=remedy)


def find_weights(path: Path) -> Path:
    """Return the ``.safetensors`` file at ``path``, or in the directory ``path``.

    Raises:
        ModelError: there is no such file, or only a pickled file.
    """
    if not path.exists():
        raise ModelError(
            f"The weights of a backbone must be a file or a directory, but {path} does not exist."
        )
    candidates = [path / file for file in _SAFE_FILES] if path.is_dir() else [path]
    found = next((file for file in candidates if file.is_file() and file.suffix == ".safetensors"), None)
    if found is None:
        raise ModelError(_not_safe(path))
    return found


def training_input(name: str, weights: Path | None = None) -> dict[str, Any]:
    """Return how pictures were prepared in the training of a backbone.

    Args:
        name: a timm model.
        weights: the weights, as in :func:`find_weights`. The ``config.json`` of a directory replaces timm's
            own description.

    Returns:
        ``input_size``, ``crop_pct``, ``mean`` and ``std``, as timm names them.

    Raises:
        ModelError: timm does not describe the model, or the directory belongs to another model.
    """
    known = timm.get_pretrained_cfg(name)
    if known is None:
        raise ModelError(f"timm does not say how pictures are prepared for {name}.")
    keys = ("input_size", "crop_pct", "mean", "std")
    trained = {key: getattr(known, key) for key in keys}
    description = weights / "config.json" if weights is not None else None
    if description is None or not description.is_file():
        return trained
    content = read_json(description)
    architecture = content.get("architecture", name) if isinstance(content, dict) else None
    if architecture != name.partition(".")[0]:
        raise ModelError(f"{weights} must hold weights of {name}, but holds those of {architecture}.")
    own = content.get("pretrained_cfg", content)
    return trained | {key: own[key] for key in keys if own.get(key) is not None}


def _not_safe(path: Path) -> str:
    files = visible(path.iterdir()) if path.is_dir() else [path]
    pickled = next((file for file in files if file.suffix in _PICKLED), None)
    if pickled is None:
        return (
            "The weights of a backbone must be a .safetensors file, or a directory with "
            f"{_SAFE_FILES[0]}, but is {path}."
        )
    return (
        f"The weights of a backbone must be a .safetensors file, but {pickled} is pickled: "
        "reading it can run code.\n"
        "Convert it where you trust it: safetensors.torch.save_file(torch.load(old, weights_only=True), new)"
    )
