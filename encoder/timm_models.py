"""timm's models by name: built without classifier, with timm's weights, a file's, or random ones."""

from collections.abc import Mapping
from typing import Any

import timm
from torch import Tensor, nn

from ..core.errors import ModelError, did_you_mean
from .config import EncoderConfig


def create_timm_model(config: EncoderConfig, *, state: Mapping[str, Tensor] | None = None) -> nn.Module:
    """Build a timm model without classifier.

    Args:
        config: which model, and what it sees.
        state: the weights; None: timm's own where ``config.pretrained`` says so, else random ones.

    Raises:
        ModelError: the name is unknown, the model has no such option, its weights cannot be fetched, or
            ``state`` holds another model's.
    """
    check_timm_name(config.backbone)
    if state is not None:
        return _create_with(config, state)
    try:
        return _create(config, pretrained=config.pretrained)
    except (OSError, RuntimeError) as error:
        if not config.pretrained:
            raise
        raise ModelError(
            f"The weights of backbone {config.backbone} are not on disk and cannot be fetched: {error}\n"
            "Connect once so that they are kept, set pretrained: false, or name a file of weights."
        ) from error


def _create(config: EncoderConfig, *, pretrained: bool, overlay: dict[str, Any] | None = None) -> nn.Module:
    options: dict[str, Any] = {}
    if config.output_stride is not None:
        options["output_stride"] = config.output_stride
    pretrained_cfg = timm.get_pretrained_cfg(config.backbone)
    if pretrained_cfg is not None and pretrained_cfg.fixed_input_size:
        options["img_size"] = config.tile_size
    try:
        return timm.create_model(
            config.backbone, pretrained=pretrained, pretrained_cfg_overlay=overlay, num_classes=0, **options
        )
    except (TypeError, AssertionError, NotImplementedError, ValueError) as error:
        raise ModelError(f"backbone {config.backbone} cannot be built with {options}: {error}") from error


def _create_with(config: EncoderConfig, state: Mapping[str, Tensor]) -> nn.Module:
    """Build a model with given weights, every one of them.

    timm forgives what is missing as soon as a classifier is left out, and then leaves it random. So the
    classifier is left out here, and timm is told that there is none.
    """
    cfg = timm.get_pretrained_cfg(config.backbone)
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
    net.pretrained_cfg = net.default_cfg = {  # type: ignore[assignment]  # timm keeps plain dicts there
        key: value for key, value in vars(net)["pretrained_cfg"].items() if key != "state_dict"
    }
    return net


def check_timm_name(name: str) -> None:
    """Refuse a name, or the tag behind its dot, that timm does not know.

    Raises:
        ModelError: with the nearest name timm knows.
    """
    model, _, tag = name.partition(".")
    known = timm.list_models()
    if model not in known:
        raise ModelError(f"backbone must be a timm model, but is {name!r}.{did_you_mean(model, known)}")
    tagged = timm.list_pretrained(f"{model}.*") if tag else [name]
    if name not in tagged:
        raise ModelError(f"timm has no weights {name!r}.{did_you_mean(name, tagged)}")
