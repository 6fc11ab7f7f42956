"""timm models by name, without classifier, with timm's weights, given weights, or random weights."""

from collections.abc import Mapping
from typing import Any

import timm
from huggingface_hub import try_to_load_from_cache
from safetensors import SafetensorError
from torch import Tensor, nn

from ..core.errors import ModelError, did_you_mean
from ..core.hub import check_reachable, first_line, refuse_offline
from .config import EncoderConfig

WEIGHT_FILES = (
    "model.safetensors",
    "open_clip_model.safetensors",
    "pytorch_model.bin",
    "open_clip_pytorch_model.bin",
)
"""Names that timm looks for on the hub, the preferred first."""


def create_timm_model(config: EncoderConfig, *, state: Mapping[str, Tensor] | None = None) -> nn.Module:
    """Build a timm model without classifier.

    Args:
        config: name and input of the model.
        state: the weights. None: timm's weights if ``config.pretrained``, else random weights.

    Raises:
        ModelError: the name is unknown, the model lacks an option, the weights cannot be fetched, or
            ``state`` belongs to another model.
    """
    check_timm_name(config.backbone)
    if state is not None:
        return _create_with(config, state)
    if not config.pretrained:
        return _create(config, pretrained=False)
    check_weights_at_hand(config.backbone, key="encoder.pretrained")
    try:
        return _create(config, pretrained=True)
    except (OSError, RuntimeError, SafetensorError) as error:
        raise ModelError(
            f"The weights of backbone {config.backbone} cannot be loaded: {first_line(error)}"
        ) from error


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
    remedy = f"Connect once so that they are kept, or set {key}=false for random weights."
    if key.startswith("timm."):
        remedy = remedy.replace("or set", "name a file by --set timm.weights=PATH, or set")
    named = f"The file of weights of backbone {name}"
    refuse_offline(repo, named=named, remedy=remedy)
    check_reachable(repo, named=named, remedy=remedy)


def _create(config: EncoderConfig, *, pretrained: bool, overlay: dict[str, Any] | None = None) -> nn.Module:
    options: dict[str, Any] = {}
    if config.output_stride is not None:
        options["output_stride"] = config.output_stride
    pretrained_cfg = timm.get_pretrained_cfg(config.backbone)
    # Models of a fixed size, such as vision transformers, adapt their position embedding.
    if pretrained_cfg is not None and pretrained_cfg.fixed_input_size:
        options["img_size"] = config.tile_size
    try:
        return timm.create_model(
            config.backbone, pretrained=pretrained, pretrained_cfg_overlay=overlay, num_classes=0, **options
        )
    except (TypeError, AssertionError, NotImplementedError, ValueError) as error:
        raise ModelError(f"backbone {config.backbone} cannot be built with {options}: {error}") from error


def _create_with(config: EncoderConfig, state: Mapping[str, Tensor]) -> nn.Module:
    """Build a model with given weights, none of them missing."""
    # When timm drops a classifier it also ignores other missing weights, which stay random. So the classifier
    # is dropped here, and timm is told that there is none.
    cfg = timm.get_pretrained_cfg(config.backbone)
    # Models with a distillation token have two classifiers.
    heads = (cfg.classifier if cfg is not None else None) or ()
    heads = (heads,) if isinstance(heads, str) else tuple(heads)
    dropped = {f"{head}.{part}" for head in heads for part in ("weight", "bias")}
    body = {name: value for name, value in state.items() if name not in dropped}
    overlay: dict[str, Any] = {"state_dict": body, "custom_load": False, "classifier": None}
    try:
        net = _create(config, pretrained=True, overlay=overlay)
    except RuntimeError as error:  # a heading, then a line for each kind of fault
        first = (str(error).splitlines() + [""])[1].strip()
        raise ModelError(f"The weights do not fit backbone {config.backbone}: {first or error}") from error
    # timm keeps the weights that were given in these entries: a second copy in memory.
    net.pretrained_cfg = net.default_cfg = {  # type: ignore[assignment]  # timm keeps plain dicts there
        key: value for key, value in vars(net)["pretrained_cfg"].items() if key != "state_dict"
    }
    return net


def check_timm_name(name: str) -> None:
    """Refuse a model name or a tag (behind the dot) that is unknown to timm.

    Raises:
        ModelError: the name is unknown. The error has the most similar name.
    """
    model, _, tag = name.partition(".")
    known = timm.list_models()
    if model not in known:
        raise ModelError(f"backbone must be a timm model, but is {name!r}.{did_you_mean(model, known)}")
    tagged = timm.list_pretrained(f"{model}.*") if tag else [name]
    if name not in tagged:
        raise ModelError(f"timm has no weights {name!r}.{did_you_mean(name, tagged)}")
