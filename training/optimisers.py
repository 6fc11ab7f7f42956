"""Optimisers over parameter groups, each with a learning rate."""

from collections.abc import Iterable, Sequence
from typing import Any

import torch
from torch import nn

from .config import Optimiser, TrainingConfig

MOMENTUM = 0.9  # FLa-LLM, section 4.2: SGD with momentum 0.9


def make_optimiser(groups: Sequence[dict[str, Any]], config: TrainingConfig) -> torch.optim.Optimizer:
    """Return the configured optimiser over the ``parameter_groups`` of a model."""
    split = [half for group in groups for half in _split_decay(group, config)]
    return _class_of(config.optimiser)(split, lr=config.learning_rate, **_options(config.optimiser))


def group_rates(optimiser: torch.optim.Optimizer) -> dict[str, float]:
    """Return the current learning rate of each group by name."""
    return {group["name"]: group["lr"] for group in optimiser.param_groups}


def _split_decay(group: dict[str, Any], config: TrainingConfig) -> Iterable[dict[str, Any]]:
    """Yield the matrices of a group with decay, then the vectors (norms, biases) without decay."""
    rate = group.get("lr", config.learning_rate * group.get("lr_scale", 1.0))
    decay = group.get("weight_decay", config.weight_decay)
    trained: list[nn.Parameter] = [parameter for parameter in group["params"] if parameter.requires_grad]
    matrices = [parameter for parameter in trained if parameter.ndim > 1]
    vectors = [parameter for parameter in trained if parameter.ndim <= 1]
    for params, own_decay in ((matrices, decay), (vectors, 0.0)):
        if params:
            yield {"params": params, "name": group["name"], "lr": rate, "weight_decay": own_decay}


def _class_of(optimiser: Optimiser) -> Any:
    if optimiser == "adamw":
        return torch.optim.AdamW
    if optimiser == "sgd":
        return torch.optim.SGD
    from bitsandbytes.optim import adamw  # slow to import, and not needed by the other optimisers

    return adamw.AdamW8bit if optimiser == "adamw8bit" else adamw.PagedAdamW8bit


def _options(optimiser: Optimiser) -> dict[str, Any]:
    if optimiser == "sgd":
        return {"momentum": MOMENTUM}
    # Fused: a few kernels for all parameters, where the default starts several for each.
    return {"fused": True} if optimiser == "adamw" else {}
