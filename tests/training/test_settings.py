"""Settings out of range are refused, and parameter groups get what they ask for."""

from collections.abc import Callable
from typing import Any

import pytest
import torch

from fla_llm.training.config import DecodingConfig
from fla_llm.training.optimisers import MOMENTUM, group_rates, make_optimiser

Make = Callable[..., Any]


def test_all_faults_of_a_configuration_are_named_at_once(toy_settings: Make) -> None:
    with pytest.raises(ValueError, match=r"epochs must be at least 1, but is 0; .*warmup_share .* 1.5"):
        toy_settings(epochs=0, warmup_share=1.5)
    with pytest.raises(ValueError, match="learning_rate must be above 0, but is -1"):
        toy_settings(learning_rate=-1)
    with pytest.raises(ValueError, match="num_beams must be at least 1, but is 0"):
        DecodingConfig(num_beams=0)
    with pytest.raises(ValueError, match=r"diversity must be at least 0, but is -0.5"):
        DecodingConfig(diversity=-0.5)


def test_groups_get_their_rates_and_vectors_no_decay(toy_settings: Make, toy_model: Make) -> None:
    model, config = toy_model(), toy_settings(learning_rate=0.5, weight_decay=0.1)
    optimiser = make_optimiser(model.parameter_groups(), config)
    assert group_rates(optimiser) == {"inner": 0.25, "outer": 0.5}
    decays = {
        parameter: group["weight_decay"] for group in optimiser.param_groups for parameter in group["params"]
    }
    assert len(decays) == len(list(model.parameters()))
    assert all(decay == (0.1 if parameter.ndim > 1 else 0.0) for parameter, decay in decays.items())


def test_a_group_may_name_a_rate_and_a_decay_of_its_own(toy_settings: Make) -> None:
    weight, frozen = torch.nn.Parameter(torch.ones(2, 2)), torch.nn.Parameter(torch.ones(2, 2), False)
    group = {"name": "projector", "params": [weight, frozen], "lr": 0.7, "weight_decay": 0.3}
    (own,) = make_optimiser([group], toy_settings()).param_groups
    assert (own["lr"], own["weight_decay"], own["params"]) == (0.7, 0.3, [weight])


def test_sgd_is_the_papers(toy_settings: Make, toy_model: Make) -> None:
    optimiser = make_optimiser(toy_model().parameter_groups(), toy_settings(optimiser="sgd"))
    assert isinstance(optimiser, torch.optim.SGD)
    assert optimiser.defaults["momentum"] == MOMENTUM == 0.9
