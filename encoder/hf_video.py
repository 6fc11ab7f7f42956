"""Loading of a clip encoder from a directory in transformers' layout, or from the hub by id.

Weights are read from safetensors alone. Code in a model directory is never run.
"""

import logging
from collections.abc import Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any

from huggingface_hub import constants as hub
from transformers import AutoConfig, AutoModel, PreTrainedModel
from transformers.utils.hub import cached_file

from ..core.config import config_from_dict
from ..core.errors import ModelError
from ..core.files import read_json
from ..core.hub import check_reachable, find_source, load_pretrained
from ..core.weights import check_folder, describe_misfit
from ..video.geometry import ResizeMode
from ..video.sampling import FrameSampling
from .clip_encoder import ClipEncoder, ClipEncoderConfig, ClipPool
from .config import IMAGENET_MEAN, IMAGENET_STD

logger = logging.getLogger(__name__)

KINDS = ("videomae", "vivit", "timesformer")
"""Model types of transformers with the input ``pixel_values`` (windows, frames, 3, side, side)."""
_PREPROCESSORS = ("preprocessor_config.json", "video_preprocessor_config.json")
_NAMED = "hf-video:{}"
_CODE = ("attn_implementation", "auto_map", "trust_remote_code")
"""Entries of a transformers config that name code."""


def hf_video_encoder(
    source: str,
    *,
    window_stride: int | None = None,
    pool: ClipPool = "mean",
    sampling: FrameSampling | None = None,
    fetch: bool = True,
) -> ClipEncoder:
    """Load a frozen clip encoder: level "frame" only.

    Args:
        source: a directory, or an id on the hub such as ``MCG-NJU/videomae-base``.
        window_stride: frames from one window to the next. None: half a window.
        pool: pooling of a window's tokens into a vector.
        sampling: sampling of frames. None: every frame, and 1000 frames evenly of a longer clip.
        fetch: fetch missing files from the hub.

    Raises:
        ModelError: the model does not exist, its type is not in ``KINDS``, or its weights are incomplete or
            pickled.
        ConfigError: ``window_stride`` is longer than a window.
    """
    given, source = source, find_source(source, named=_NAMED)
    is_local = Path(source).is_dir()
    if is_local:
        check_folder(Path(source))
    load = partial(load_pretrained, source=source, named=_NAMED, may_fetch=fetch)
    architecture = load(AutoConfig.from_pretrained)
    if architecture.model_type not in KINDS:
        raise ModelError(
            f"hf-video:{source} must be of kind {', '.join(KINDS)}, but is of kind {architecture.model_type}."
        )
    image_size, frames = _side(architecture.image_size, source), architecture.num_frames
    is_vivit = architecture.model_type == "vivit"
    preprocessor = _preprocessor(source, may_fetch=fetch and not is_local)
    prepared = _prepared(preprocessor, image_size=image_size, is_vivit=is_vivit)
    config = ClipEncoderConfig(
        name=Path(source).name if is_local else source.rpartition("/")[2],
        window_frames=frames,
        window_stride=window_stride or max(1, frames // 2),
        pool=pool,
        image_size=image_size,
        sampling=sampling or FrameSampling(stride=1, max_frames=1000),
        **prepared,
    )
    encoder = ClipEncoder(_weights(load, given), config).requires_grad_(False).eval()
    encoder.hub_id = None if is_local else source
    return encoder


def clip_encoder(settings: Mapping[str, Any], *, origin: str) -> ClipEncoder:
    """Build a clip encoder with random weights from its settings.

    Args:
        settings: :attr:`.ClipEncoder.settings`, as an encoder directory holds them.
        origin: the file of the settings, for errors.

    Raises:
        ModelError: the settings describe no model of ``KINDS``.
        ConfigError: a setting of the windows or pictures is unknown or out of range.
    """
    own = dict(settings)
    architecture = own.pop("architecture", None)
    own.pop("source", None)
    kind = architecture.get("model_type") if isinstance(architecture, dict) else None
    if not isinstance(architecture, dict) or kind not in KINDS:
        raise ModelError(f"{origin} must describe a model of kind {', '.join(KINDS)}, but has {kind!r}.")
    # Private entries choose code, such as an attention kernel of the hub, and are no part of a model's shape.
    shape = {
        key: value for key, value in architecture.items() if not key.startswith("_") and key not in _CODE
    }
    try:
        model = AutoModel.from_config(AutoConfig.for_model(**shape), trust_remote_code=False)
    except Exception as error:  # transformers raises what it likes for a wrong value
        raise ModelError(f"{origin} describes no {kind}: {type(error).__name__}: {error}") from error
    return ClipEncoder(_without_pooler(model), config_from_dict(ClipEncoderConfig, own, origin=origin))


def _without_pooler(model: Any) -> PreTrainedModel:
    # ViViT's, which its trained models lack: last_hidden_state does not need it.
    if hasattr(model, "pooler"):
        model.pooler = None
    return model


def _weights(load: Any, source: str) -> PreTrainedModel:
    """Return the model with all weights from the file."""
    # transformers gives missing weights random values, and only tells so in the loading info.
    model, info = load(
        AutoModel.from_pretrained,
        use_safetensors=True,
        output_loading_info=True,
        ignore_mismatched_sizes=True,
    )
    _without_pooler(model)
    missing = [key for key in info["missing_keys"] if not key.startswith("pooler.")]
    if misfit := describe_misfit(missing=missing, mismatched=info["mismatched_keys"]):
        raise ModelError(
            f"hf-video:{source} must hold all weights of a {model.config.model_type}, but {misfit}."
        )
    return model.float()


def _preprocessor(source: str, *, may_fetch: bool) -> dict[str, Any]:
    """Return the preprocessing settings of a model, empty if there are none."""
    for name in _PREPROCESSORS:
        if (path := _find(source, name, may_fetch=may_fetch)) is not None:
            return read_json(path)
    logger.warning(f"{source} has no {_PREPROCESSORS[0]}: the whole frame is seen, in ImageNet's colours")
    return {}


def _find(source: str, name: str, *, may_fetch: bool) -> Path | None:
    """Return the path of a file of the source, or None if the source has no such file."""
    ask: dict[str, Any] = {"_raise_exceptions_for_missing_entries": False}
    path = cached_file(
        source, name, local_files_only=True, _raise_exceptions_for_connection_errors=False, **ask
    )
    if path is None and may_fetch and not hub.HF_HUB_OFFLINE:
        check_reachable(source, named=_NAMED)
        path = cached_file(source, name, **ask)
    return Path(path) if path is not None else None


def _side(value: int | Sequence[int], source: str) -> int:
    """Return the side in pixels of a model's square input."""
    sides = {value} if isinstance(value, int) else set(value)
    if len(sides) != 1:
        raise ModelError(f"hf-video:{source} must see squares, but sees {value}.")
    return sides.pop()


def _prepared(told: dict[str, Any], *, image_size: int, is_vivit: bool) -> dict[str, Any]:
    """Convert the preprocessing settings of transformers to fields of :class:`ClipEncoderConfig`."""
    # transformers computes (factor x - offset - mean) / std for colours x in 0..255. Here colours lie in
    # 0..1, and factor and offset become part of mean and std.
    factor = 255 * told.get("rescale_factor", 1 / 127.5 if is_vivit and told else 1 / 255)
    offset = float(told.get("offset", is_vivit and bool(told)))
    mean, std = told.get("image_mean", IMAGENET_MEAN), told.get("image_std", IMAGENET_STD)
    if not told.get("do_normalize", True):  # the model takes colours as they are
        mean, std = (0.0,) * 3, (1.0,) * 3
    size = told.get("size", image_size)
    # A size with height and width is a target shape. A size with one number is the shorter side.
    fit: ResizeMode = "stretch" if isinstance(size, dict) and "height" in size else "crop"
    side = size if isinstance(size, int) else size.get("shortest_edge", size.get("height", image_size))
    return {
        "fit": fit,
        "resize_size": max(image_size, side),
        "mean": tuple((offset + value) / factor for value in mean),
        "std": tuple(value / factor for value in std),
    }
