"""The average of the weights: what it is, who uses it, and that a resumed run keeps it."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor

from fla_llm.training.checkpoints import AVERAGED, last_checkpoint, load_weights
from fla_llm.training.weight_average import WeightAverage

from .conftest import DecodingConfig, log_rows, predict_toy

Toy = Callable[..., Any]
DECAY = 0.75


def copy_of(model: Any) -> dict[str, Tensor]:
    return {name: tensor.clone() for name, tensor in model.checkpoint_state().items()}


def are_equal(ours: dict[str, Tensor], theirs: dict[str, Tensor]) -> bool:
    return ours.keys() == theirs.keys() and all(torch.equal(ours[name], theirs[name]) for name in ours)


def test_the_average_forgets_at_its_rate_and_the_model_gets_its_weights_back(toy_model: Toy) -> None:
    model: Any = toy_model()
    average, nothing = WeightAverage(model, decay=DECAY), (None, None, None)
    expected: dict[str, Tensor] = {}
    for turn in range(4):
        with torch.no_grad():
            for tensor in model.checkpoint_state().values():
                tensor += turn + 1
        average.on_optimizer_step(*nothing)  # type: ignore[arg-type]
        now = copy_of(model)
        expected = {n: DECAY * expected[n] + (1 - DECAY) * now[n] if expected else now[n] for n in now}
    before = copy_of(model)
    with average.applied():
        for name, tensor in model.checkpoint_state().items():
            if tensor.is_floating_point():  # BatchNorm counts batches in whole numbers
                torch.testing.assert_close(tensor, expected[name])
    assert are_equal(copy_of(model), before)


@pytest.fixture(scope="module")
def averaged(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Any]:
    """A run with an average, and its model."""
    from .conftest import ToyItems, toy_fit

    run = tmp_path_factory.mktemp("averaged")
    model, _ = toy_fit(run, dev=ToyItems(4), select="last", ema_decay=DECAY)
    return run, model


def test_training_does_not_see_the_average_and_the_result_is_the_average(
    averaged: tuple[Path, Any], toy: Toy, tmp_path: Path
) -> None:
    run, model = averaged
    plain, _ = toy(tmp_path / "plain", select="last")
    last = last_checkpoint(run / "checkpoints")
    assert last is not None
    assert are_equal(load_weights(last), plain.checkpoint_state())
    assert are_equal(load_weights(last, name=AVERAGED), model.checkpoint_state())
    assert not torch.equal(model.inner.weight, plain.inner.weight)


def test_dev_is_translated_with_the_average(averaged: tuple[Path, Any], toy_items: Toy) -> None:
    run, model = averaged
    said = [example["hypothesis"] for example in log_rows(run)[-1]["examples"]]
    assert predict_toy(model, toy_items(4), decoding=DecodingConfig(num_beams=1))[:3] == said


def test_a_killed_run_is_resumed_to_the_same_average(
    averaged: tuple[Path, Any], toy: Toy, toy_items: Toy, toy_model: Toy, tmp_path: Path
) -> None:
    settings: dict[str, Any] = {"select": "last", "ema_decay": DECAY, "save_every_steps": 1}
    with pytest.raises(KeyboardInterrupt):
        toy(tmp_path, items=toy_items(20, fail_at=(9, 1)), **settings)
    resumed, _ = toy(tmp_path, model=toy_model(seed=99), resume=True, **settings)
    assert are_equal(resumed.checkpoint_state(), averaged[1].checkpoint_state())
