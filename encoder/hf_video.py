"""Loading a clip encoder from a directory in transformers' form, or from the hub by its id.

Weights are read from safetensors alone, and code that comes with a model is never run.
"""

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, TypeVar

from huggingface_hub import constants as hub
from transformers import AutoConfig, AutoModel, PreTrainedModel
from transformers.utils.hub import cached_file

from ..core.errors import ModelError
from ..core.files import read_json
from ..core.progress import say
from ..video.fit import Fit
from ..video.sampling import FrameSampling
from .clip_encoder import ClipEncoder, ClipEncoderConfig, ClipPool
from .config import IMAGENET_MEAN, IMAGENET_STD

KINDS = ("videomae", "vivit", "timesformer")
"""transformers' kinds of clip encoders that take ``pixel_values`` (windows, frames, 3, side, side)."""
_PREPROCESSORS = ("preprocessor_config.json", "video_preprocessor_config.json")
T = TypeVar("T")


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
    is_local = _is_directory(source)
    load = _Load(source, may_fetch=fetch and not is_local)
    architecture = load(AutoConfig.from_pretrained)
    if architecture.model_type not in KINDS:
        raise ModelError(
            f"hf-video:{source} must be of kind {', '.join(KINDS)}, but is of kind {architecture.model_type}."
        )
    image_size, frames = _side(architecture.image_size, source), architecture.num_frames
    is_vivit = architecture.model_type == "vivit"
    prepared = _prepared(_preprocessor(load), image_size=image_size, is_vivit=is_vivit)
    config = ClipEncoderConfig(
        name=Path(source).resolve().name if is_local else source.rpartition("/")[2],
        window_frames=frames,
        window_stride=window_stride or max(1, frames // 2),
        pool=pool,
        image_size=image_size,
        sampling=sampling or FrameSampling(stride=1, max_frames=1000),
        **prepared,
    )
    return ClipEncoder(_weights(load), config).requires_grad_(False).eval()


class _Load:
    """Calls transformers' loaders with a source: from the disk, then from the hub where that is allowed."""

    def __init__(self, source: str, *, may_fetch: bool) -> None:
        self.source = source
        self.may_fetch = may_fetch and not hub.HF_HUB_OFFLINE

    def __call__(self, load: Callable[..., T], **settings: Any) -> T:
        try:
            return load(self.source, local_files_only=True, **settings)
        except (OSError, ValueError) as error:
            if not self.may_fetch:
                raise self._refusal(error) from error
        say(f"{self.source} is not on this disk: fetching what is missing")
        try:
            return load(self.source, **settings)
        except (OSError, ValueError) as error:
            raise self._refusal(error) from error

    def find(self, name: str) -> Path | None:
        """Return one of the source's files; None where it has none of that name."""
        ask: dict[str, Any] = {"_raise_exceptions_for_missing_entries": False}
        path = cached_file(
            self.source, name, local_files_only=True, _raise_exceptions_for_connection_errors=False, **ask
        )
        if path is None and self.may_fetch:
            try:
                path = cached_file(self.source, name, **ask)
            except OSError as error:
                raise self._refusal(error) from error
        return Path(path) if path is not None else None

    def _refusal(self, error: Exception) -> ModelError:
        reason = str(error).strip().partition("\n")[0]
        return ModelError(
            f"hf-video:{self.source} cannot be loaded: {reason}\n"
            "Give a directory with config.json and model.safetensors, or an id of a model that is on disk "
            "or can be fetched."
        )


def _is_directory(source: str) -> bool:
    """Tell a directory from an id; refuse what looks like a path and is not there."""
    path = Path(source).expanduser()
    if not path.is_dir() and (source.startswith((".", "/", "~")) or source.count("/") > 1):
        raise ModelError(f"hf-video:{source} must be a directory or an id, but there is no such directory.")
    return path.is_dir()


def _weights(load: _Load) -> PreTrainedModel:
    """Return the model, all its weights from the file: transformers would leave missing ones random."""
    model, info = load(
        AutoModel.from_pretrained, use_safetensors=True, trust_remote_code=False, output_loading_info=True
    )
    if hasattr(model, "pooler"):  # ViViT's, which its trained models lack: last_hidden_state does not need it
        model.pooler = None
    missing = sorted(key for key in info["missing_keys"] if not key.startswith("pooler."))
    if missing:
        raise ModelError(
            f"hf-video:{load.source} must hold all weights of a {model.config.model_type}, "
            f"but lacks {len(missing)}, such as {missing[0]}."
        )
    return model.float()


def _preprocessor(load: _Load) -> dict[str, Any]:
    """Return what the model says of how pictures are prepared; nothing, where it does not."""
    for name in _PREPROCESSORS:
        path = load.find(name)
        if path is not None:
            return read_json(path)
    say(f"{load.source} has no {_PREPROCESSORS[0]}: the whole frame is seen, in ImageNet's colours")
    return {}


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
    fit: Fit = "stretch" if isinstance(size, dict) and "height" in size else "crop"
    side = size if isinstance(size, int) else size.get("shortest_edge", size.get("height", image_size))
    return {
        "fit": fit,
        "resize_size": max(image_size, side),
        "mean": tuple((offset + value) / factor for value in mean),
        "std": tuple(value / factor for value in std),
    }
