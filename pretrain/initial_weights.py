"""Initial weights of the backbone: checked before clips are decoded, and recorded in the run."""

import logging
from pathlib import Path
from typing import Any

import timm
import torch

from ..core.files import sha256_file
from ..encoder.backbone_weights import find_weights, training_input
from ..encoder.config import EncoderConfig
from ..encoder.timm_models import create_timm_model

logger = logging.getLogger(__name__)


def check_initial_weights(config: EncoderConfig) -> dict[str, Any]:
    """Build the backbone once, and return the record of its initial weights for ``run.json``.

    Prints a warning if the weights were trained on colours with another mean or standard deviation.

    Returns:
        ``file`` and ``sha256`` of ``config.weights``, or ``pretrained`` without such a file.

    Raises:
        ModelError: the weights are absent, damaged, pickled, or belong to another backbone.
    """
    if config.kind == "poses":
        return {"pretrained": False}
    # Decoding all clips can take hours: a fault of the weights must show before.
    with torch.random.fork_rng(devices=[]):
        create_timm_model(config)
    if config.weights is None:
        record: dict[str, Any] = {"pretrained": config.pretrained}
    else:
        file = find_weights(Path(config.weights).expanduser())
        record = {"file": str(file.resolve()), "sha256": sha256_file(file)}
    if config.pretrained or config.weights is not None:
        _warn_of_other_colours(config)
    return record


def _warn_of_other_colours(config: EncoderConfig) -> None:
    if timm.get_pretrained_cfg(config.backbone) is None:
        return  # timm knows no weights of this model, and so no preprocessing
    weights = Path(config.weights).expanduser() if config.weights is not None else None
    trained = training_input(config.backbone, weights)
    mean, std = tuple(trained["mean"]), tuple(trained["std"])
    if (mean, std) != (config.mean, config.std):
        logger.warning(
            f"warning: the weights of backbone {config.backbone} were trained with mean {list(mean)} and std "
            f"{list(std)}, but encoder.mean is {list(config.mean)} and encoder.std is {list(config.std)}.\n"
            f'Add --set "encoder.mean={list(mean)}" --set "encoder.std={list(std)}"'
        )
