"""Loading a clip encoder from a directory in transformers' form, or from the hub by its id.

Weights are read from safetensors alone, and code that comes with a model is never run.
"""

import logging
from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import Any

from huggingface_hub import constants as hub
from transformers import AutoConfig, AutoModel, PreTrainedModel
from transformers.utils.hub import cached_file

from ..core.errors import ModelError
from ..core.files import read_json
from ..core.hub import check_reachable, find_source, load_pretrained
from ..core.weights import check_folder, describe_misfit
from ..video.resize_mode import ResizeMode
from ..video.sampling import FrameSampling
from .clip_encoder import ClipEncoder, ClipEncoderConfig, ClipPool
from .config import IMAGENET_MEAN, IMAGENET_STD

logger = logging.getLogger(__name__)

KINDS = ("videomae", "vivit", "timesformer")
"""transformers' kinds of clip encoders that take ``pixel_values`` (windows, frames, 3, side, side)."""
_PREPROCESSORS = ("preprocessor_config.json", "video_preprocessor_config.json")
_NAMED = "hf-video:{}"


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
        window_stride: frames from one window to the next; None: half a window.
        pool: how a window's tokens become a vector.
        sampling: which frames are looked at; None: every one, an even subset of more than 1000.
        fetch: fetch by its id what is not on disk; else it must be there.

    Raises:
        ModelError: there is no such model, it is of no kind known here, or its weights are incomplete or
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
    return ClipEncoder(_weights(load, given), config).requires_grad_(False).eval()


def _weights(load: Any, source: str) -> PreTrainedModel:
    """Return the model, all its weights from the file: transformers would leave missing ones random."""
    model, info = load(
        AutoModel.from_pretrained,
        use_safetensors=True,
        output_loading_info=True,
        ignore_mismatched_sizes=True,
    )
    if hasattr(model, "pooler"):  # ViViT's, which its trained models lack: last_hidden_state does not need it
        model.pooler = None
    missing = [key for key in info["missing_keys"] if not key.startswith("pooler.")]
    if misfit := describe_misfit(missing=missing, mismatched=info["mismatched_keys"]):
        raise ModelError(
            f"hf-video:{source} must hold all weights of a {model.config.model_type}, but {misfit}."
        )
    return model.float()


def _preprocessor(source: str, *, may_fetch: bool) -> dict[str, Any]:
    """Return what the model says of how pictures are prepared; nothing, where it does not."""
    for name in _PREPROCESSORS:
        if (path := _find(source, name, may_fetch=may_fetch)) is not None:
            return read_json(path)
    logger.warning(f"{source} has no {_PREPROCESSORS[0]}: the whole frame is seen, in ImageNet's colours")
    return {}


def _find(source: str, name: str, *, may_fetch: bool) -> Path | None:
    """Return one of the source's files; None where it has none of that name."""
    ask: dict[str, Any] = {"_raise_exceptions_for_missing_entries": False}
    path = cached_file(
        source, name, local_files_only=True, _raise_exceptions_for_connection_errors=False, **ask
    )
    if path is None and may_fetch and not hub.HF_HUB_OFFLINE:
        check_reachable(source, named=_NAMED)
        path = cached_file(source, name, **ask)
    return Path(path) if path is not None else None


def _side(value: int | Sequence[int], source: str) -> int:
    """Return the side in pixels of the squares a model was made for."""
    sides = {value} if isinstance(value, int) else set(value)
    if len(sides) != 1:
        raise ModelError(f"hf-video:{source} must see squares, but sees {value}.")
    return sides.pop()


def _prepared(told: dict[str, Any], *, image_size: int, is_vivit: bool) -> dict[str, Any]:
    """Return sizes and colours as :class:`ClipEncoderConfig` has them.

    transformers computes ``(factor x - offset - mean) / std`` of colours x in 0..255; here they lie in 0..1.
    """
    factor = 255 * told.get("rescale_factor", 1 / 127.5 if is_vivit and told else 1 / 255)
    offset = float(told.get("offset", is_vivit and bool(told)))
    mean, std = told.get("image_mean", IMAGENET_MEAN), told.get("image_std", IMAGENET_STD)
    if not told.get("do_normalize", True):
        mean, std = (0.0,) * 3, (1.0,) * 3
    size = told.get("size", image_size)
    fit: ResizeMode = "stretch" if isinstance(size, dict) and "height" in size else "crop"
    side = size if isinstance(size, int) else size.get("shortest_edge", size.get("height", image_size))
    return {
        "fit": fit,
        "resize_size": max(image_size, side),
        "mean": tuple((offset + value) / factor for value in mean),
        "std": tuple(value / factor for value in std),
    }
