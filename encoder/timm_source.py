"""Frozen timm backbone as an encoder, with timm's weights or the weights of a local file."""

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import timm
from torch import Tensor

from ..core.errors import ModelError
from ..core.files import read_json, visible
from ..core.weights import read_tensors
from ..video.sampling import FrameSampling
from .config import EncoderConfig
from .model import VisualEncoder
from .timm_models import WEIGHT_FILES, check_timm_name, check_weights_at_hand, create_timm_model

_FILES = tuple(name for name in WEIGHT_FILES if name.endswith(".safetensors"))
_PICKLED = (".bin", ".pth", ".pt", ".ckpt", ".tar")


def timm_encoder(
    name: str,
    *,
    image_size: int | None = None,
    resize_size: int | None = None,
    pretrained: bool = True,
    weights: Path | None = None,
    pool: str = "avg",
    scales: tuple[int, ...] = (1,),
    sampling: FrameSampling | None = None,
) -> VisualEncoder:
    """Build a frozen timm backbone as an encoder: level "frame" only.

    Args:
        name: a timm model, as in ``resnet18`` or ``vit_base_patch16_224.augreg_in21k``.
        image_size: side of the input. None: the side in the training of the backbone.
        resize_size: side of decoded frames at scale 1. None: the side that leads to timm's crop.
        pretrained: use timm's weights, fetched when not on disk, instead of random weights.
        weights: a ``.safetensors`` file with other weights, or a directory as timm's hub models have.
        pool: pooling, as in :class:`EncoderConfig`.
        scales: scales of a frame, as multiples of ``image_size``. Frames are decoded at the largest scale.
        sampling: sampling of frames. None: the defaults of :class:`FrameSampling`.

    Raises:
        ModelError: the name is unknown, or the weights cannot be fetched, do not fit or are pickled.
        ConfigError: ``pool`` or ``scales`` is not valid.
    """
    check_timm_name(name)
    if pretrained and weights is None:
        check_weights_at_hand(name, key="timm.pretrained")
    trained = _trained_as(name, weights)
    side: int = image_size or trained["input_size"][-1]
    largest = max(scales, default=1)
    config = EncoderConfig(
        backbone=name,
        pretrained=pretrained and weights is None,
        pool=pool,
        temporal=False,
        image_size=side * largest,
        resize_size=(resize_size or round(side / trained["crop_pct"])) * largest,
        mean=_three(trained["mean"]),
        std=_three(trained["std"]),
        sampling=sampling or FrameSampling(),
        scales=None if scales == (1,) else scales,
    )
    encoder = VisualEncoder(config)
    if weights is not None:
        encoder.backbone.net = create_timm_model(config, state=_read_weights(weights))
        encoder.config = replace(config, pretrained=True)  # so that a cache does not depend on where they lay
    return encoder.requires_grad_(False).eval()


def _trained_as(name: str, weights: Path | None) -> dict[str, Any]:
    """Return the preprocessing in training, from the directory of the weights, else from timm."""
    # timm crops after it resizes: crop_pct is the share of the resized side that the crop keeps.
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


def _read_weights(path: Path) -> dict[str, Tensor]:
    """Return the weights of a ``.safetensors`` file, or of the one in a directory.

    Raises:
        ModelError: there is none, it is damaged, or it is pickled.
    """
    if not path.exists():
        raise ModelError(f"timm.weights must be a file or a directory, but {path} does not exist.")
    candidates = [path / file for file in _FILES] if path.is_dir() else [path]
    found = next((file for file in candidates if file.is_file() and file.suffix == ".safetensors"), None)
    if found is None:
        raise ModelError(_not_safe(path))
    return read_tensors(found)


def _not_safe(path: Path) -> str:
    files = visible(path.iterdir()) if path.is_dir() else [path]
    pickled = next((file for file in files if file.suffix in _PICKLED), None)
    if pickled is None:
        return f"timm.weights must be a .safetensors file, or a directory with {_FILES[0]}, but is {path}."
    return (
        f"timm.weights must be a .safetensors file, but {pickled} is pickled: reading it can run code.\n"
        "Convert it where you trust it: safetensors.torch.save_file(torch.load(old, weights_only=True), new)"
    )


def _three(values: Sequence[float]) -> tuple[float, float, float]:
    red, green, blue = values
    return red, green, blue
