"""Settings out of range are refused, and parameter groups get what they ask for."""

from collections.abc import Callable
from contextlib import suppress
from dataclasses import fields
from pathlib import Path
from typing import Any

import pytest
import torch

from fla_llm.core.errors import ConfigError
from fla_llm.training.checkpoints import finished_steps
from fla_llm.training.config import DecodingConfig, TrainingConfig
from fla_llm.training.optimisers import MOMENTUM, group_rates, make_optimiser

from .conftest import ToyItems, ToyModel, log_rows, toy_fit

Make = Callable[..., Any]


def test_all_faults_of_a_configuration_are_named_at_once(toy_settings: Make) -> None:
    with pytest.raises(ValueError, match=r"epochs must be at least 1, but is 0; .*warmup_share .* 1.5"):
        toy_settings(epochs=0, warmup_share=1.5)
    with pytest.raises(ValueError, match="learning_rate must be above 0, but is -1"):
        toy_settings(learning_rate=-1)
    with pytest.raises(ValueError, match="ema_decay must be above 0 and below 1, but is 1.0"):
        toy_settings(ema_decay=1.0)
    with pytest.raises(ValueError, match="num_beams must be at least 1, but is 0"):
        DecodingConfig(num_beams=0)
    with pytest.raises(ValueError, match=r"diversity must be at least 0, but is -0.5"):
        DecodingConfig(diversity=-0.5)
    with pytest.raises(ValueError, match=r"temperature must be at least 0, but is -0.5"):
        DecodingConfig(temperature=-0.5)
    with pytest.raises(ValueError, match="temperature or diversity must be 0"):
        DecodingConfig(temperature=0.5, diversity=0.5)


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


def test_sgd_goes_on_in_its_direction(toy_settings: Make) -> None:
    """With a gradient that stays the same, step n is 1 + 0.9 + ... + 0.9 ** (n - 1) times the first."""
    weight = torch.nn.Parameter(torch.zeros(2, 2))
    config = toy_settings(optimiser="sgd", learning_rate=0.5, weight_decay=0.0)
    optimiser = make_optimiser([{"name": "all", "params": [weight]}], config)
    places = [weight.detach().clone()]
    for _ in range(3):
        weight.grad = torch.ones_like(weight)
        optimiser.step()
        places.append(weight.detach().clone())
    steps = [(after - before)[0, 0].item() for before, after in zip(places[:-1], places[1:], strict=True)]
    assert steps == pytest.approx([-0.5, -0.5 * 1.9, -0.5 * 2.71])


@pytest.mark.parametrize("limit", [0.0, 0.05, 1e6])
def test_gradients_are_cut_to_their_longest(
    toy: Make, toy_items: Make, toy_model: Make, tmp_path: Path, limit: float
) -> None:
    """A step of plain SGD is the rate times the gradient, of at most this length; 0 cuts nothing."""
    model, before = (toy_model(dropout=0.0, batch_statistics=False) for _ in range(2))
    toy(
        tmp_path, model=model, items=toy_items(8), batches=[list(range(8))], epochs=1, optimiser="sgd",
        schedule="constant", warmup_share=0.0, weight_decay=0.0, learning_rate=0.1, max_grad_norm=limit,
        log_every_steps=1,
    )  # fmt: skip
    moved = [after - old for after, old in zip(model.parameters(), before.parameters(), strict=True)]
    rates = [0.05, 0.05, 0.1, 0.1]  # the toy's inner layer learns at half the rate
    length = (
        sum(float((move / rate).detach().norm()) ** 2 for move, rate in zip(moved, rates, strict=True)) ** 0.5
    )
    norm = log_rows(tmp_path)[0]["grad_norm"]
    assert norm > 0.05
    assert length == pytest.approx(min(norm, limit or norm), rel=1e-3)


@pytest.mark.parametrize(
    ("first", "every", "evaluated"),
    [(1, 1, [1, 2, 3, 4, 5]), (3, 1, [3, 4, 5]), (2, 2, [2, 4, 5]), (9, 1, [5])],
)
def test_dev_is_evaluated_from_an_epoch_on_at_an_interval_and_at_the_end(
    toy: Make, toy_items: Make, tmp_path: Path, first: int, every: int, evaluated: list[int]
) -> None:
    settings = {"evaluate_from_epoch": first, "evaluate_every_epochs": every, "epochs": 5}
    toy(tmp_path, items=toy_items(4), dev=toy_items(2), **settings)
    assert [row["epoch"] for row in log_rows(tmp_path) if "dev" in row] == evaluated


CHANGES: dict[str, Any] = {
    "epochs": 2,
    "accumulate": 2,
    "learning_rate": 2e-2,
    "weight_decay": 0.5,
    "warmup_share": 0.5,
    "schedule": "linear",
    "optimiser": "sgd",
    "max_grad_norm": 0.1,
    "ema_decay": 0.5,
    "precision": "bf16",
    "select": "last",
    "evaluate_every_epochs": 2,
    "evaluate_from_epoch": 2,
    "patience_epochs": 1,
    "save_every_epochs": 3,
    "save_every_steps": 2,
    "log_every_steps": 3,
    "report_to": "tensorboard",  # not installed: refused
    "workers": 1,
}
BASE = {"learning_rate": 0.1}
"""With this rate the first epoch is the best on dev."""
ELSEWHERE = {"batch_clips"}
"""Bounds of a batch: tests/pretrain/test_settings.py."""


def observe(run: Path, *, cut: bool = True, **changes: Any) -> dict[str, Any]:
    """Return what a run leaves: whole, and without dev cut off in the last of its 18 steps."""
    items, model, settings = ToyItems(24), ToyModel(), BASE | changes
    _, fitted = toy_fit(run / "whole", model=model, items=items, dev=ToyItems(5), **settings)
    found: dict[str, Any] = {"epoch": fitted.epoch, "prepares": items.reads > 0}
    if cut:
        with suppress(KeyboardInterrupt):
            toy_fit(run / "cut", items=ToyItems(24, fail_at=(0, 2)), **settings)
        found["saved"] = finished_steps(run / "cut" / "checkpoints")
    found["log"] = log_rows(run / "whole")
    found["weights"] = {key: tensor.tolist() for key, tensor in model.checkpoint_state().items()}
    return found


@pytest.fixture(scope="module")
def base(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    return observe(tmp_path_factory.mktemp("base"))


def test_every_setting_has_a_row() -> None:
    assert {field.name for field in fields(TrainingConfig)} - ELSEWHERE == set(CHANGES)


@pytest.mark.parametrize("name", CHANGES)
def test_a_setting_changes_something(
    name: str, base: dict[str, Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    changes = {name: CHANGES[name]}
    if name == "report_to":
        monkeypatch.setattr("importlib.util.find_spec", lambda _: None)
        with pytest.raises(ConfigError, match="report_to is tensorboard"):
            observe(tmp_path, **changes)
        return
    # A worker process cannot be interrupted the toy's way.
    changed = observe(tmp_path, cut=name != "workers", **changes)
    assert {key: base[key] for key in changed} != changed
