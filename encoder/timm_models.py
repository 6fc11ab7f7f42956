"""timm models by name, without classifier, with the weights of a file, timm's weights, or random weights."""

from pathlib import Path
from typing import Any

import timm
from safetensors import SafetensorError
from torch import nn

from ..core.errors import ModelError, did_you_mean
from ..core.hub import first_line
from ..core.weights import read_tensors
from .backbone_weights import check_weights_at_hand, find_weights
from .config import EncoderConfig

_FAULT_KINDS = 4  # torch lists missing tensors, unexpected tensors, then each tensor of another shape
_FAULT_LENGTH = 200


def create_timm_model(config: EncoderConfig) -> nn.Module:
    """Build a timm model without classifier.

    Args:
        config: name, input and weights of the model: the file ``config.weights``, else timm's weights if
            ``config.pretrained``, else random weights.

    Raises:
        ModelError: the name is unknown, the model lacks an option, the weights cannot be fetched, or the
            file is damaged, pickled or belongs to another model.
    """
    check_timm_name(config.backbone)
    if config.weights is not None:
        return _create_with(config, find_weights(Path(config.weights).expanduser()))
    if not config.pretrained:
        return _create(config, pretrained=False)
    check_weights_at_hand(config.backbone, key="encoder.pretrained")
    try:
        return _create(config, pretrained=True)
    except (OSError, RuntimeError, SafetensorError) as error:
        raise ModelError(
            f"The weights of backbone {config.backbone} cannot be loaded: {first_line(error)}"
        ) from error


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
    # What models of timm raise for a size or a stride that they do not have.
    except (TypeError, AssertionError, NotImplementedError, ValueError) as error:
        raise ModelError(f"backbone {config.backbone} cannot be built with {options}: {error}") from error


def _create_with(config: EncoderConfig, file: Path) -> nn.Module:
    """Build a model with the weights of a file, none of them missing."""
    # When timm drops a classifier it also ignores other missing weights, which stay random. So the classifier
    # is dropped here, and timm is told that there is none.
    cfg = timm.get_pretrained_cfg(config.backbone)
    # Models with a distillation token have two classifiers.
    heads = (cfg.classifier if cfg is not None else None) or ()
    heads = (heads,) if isinstance(heads, str) else tuple(heads)
    dropped = {f"{head}.{part}" for head in heads for part in ("weight", "bias")}
    body = {name: value for name, value in read_tensors(file).items() if name not in dropped}
    overlay: dict[str, Any] = {"state_dict": body, "custom_load": False, "classifier": None}
    try:
        net = _create(config, pretrained=True, overlay=overlay)
    except RuntimeError as error:
        raise ModelError(
            f"The weights do not fit backbone {config.backbone}: {_faults(error)}\n"
            f"Give the weights of a timm {config.backbone} (now {file}), or name another encoder.backbone."
        ) from error
    # timm keeps the weights that were given in these entries: a second copy in memory.
    net.pretrained_cfg = net.default_cfg = {  # type: ignore[assignment]  # timm keeps plain dicts there
        key: value for key, value in vars(net)["pretrained_cfg"].items() if key != "state_dict"
    }
    return net


def _faults(error: RuntimeError) -> str:
    """Return the kinds of faults that torch lists, each with the first names."""
    lines = [line.strip() for line in str(error).splitlines()[1:]] or [str(error)]  # a heading comes first
    shown = [f"{line[:_FAULT_LENGTH]} ..." if len(line) > _FAULT_LENGTH else line for line in lines]
    return " ".join([*shown[:_FAULT_KINDS], *(["..."] if len(shown) > _FAULT_KINDS else [])])


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
