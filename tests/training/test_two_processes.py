"""Two processes on the CPU, as torchrun starts them: what they are equal to, and the law of resuming."""

import json
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor

from fla_llm.training.batches import BatchDataset, EpochOrder
from fla_llm.training.checkpoints import finished_steps, last_checkpoint, load_weights
from fla_llm.training.model import TranslationModel
from fla_llm.training.optimisers import make_optimiser

SCRIPT = Path(__file__).with_name("one_process.py")
Toy = Callable[..., Any]
Weights = dict[str, Tensor]
SIZES = (1, 4, 2, 3, 4, 1, 2, 3, 4)
"""Clips of each batch: nine of them, so that one process has nothing to do in an epoch's last turn."""
STEADY: dict[str, Any] = {"schedule": "constant", "warmup_share": 0.0, "log_every_steps": 1}
NO_CHANCE = {"dropout": 0.0, "batch_statistics": False}


def batches_of(sizes: Sequence[int]) -> list[list[int]]:
    starts = [sum(sizes[:i]) for i in range(len(sizes))]
    return [list(range(start, start + size)) for start, size in zip(starts, sizes, strict=True)]


def last_weights(run: Path) -> Weights:
    folder = last_checkpoint(run / "checkpoints")
    assert folder is not None
    return load_weights(folder)


def are_equal(ours: Weights, theirs: Weights) -> bool:
    return ours.keys() == theirs.keys() and all(torch.equal(ours[name], theirs[name]) for name in ours)


@pytest.fixture
def train(torchrun: Callable[..., list[int | None]]) -> Callable[..., list[int | None]]:
    """Return a function that trains a toy in two processes."""

    def train(
        folder: Path, *, model: tuple[str, dict], items: dict, dev: int | None = None, **settings: Any
    ) -> list[int | None]:
        parts = {"model": model, "items": ("ToyItems", items)}
        parts |= {"dev": ("ToyItems", {"count": dev})} if dev else {}
        return torchrun(SCRIPT, processes=2, FOLDER=folder, PARTS=parts, SETTINGS=settings)

    return train


def steps_by_hand(
    model: TranslationModel, data: BatchDataset, config: Any, *, processes: int
) -> TranslationModel:
    """Train without the engine: each process adds up its own gradients, and then those are added up."""
    optimiser = make_optimiser(model.parameter_groups(), config)
    trained = [p for group in optimiser.param_groups for p in group["params"]]
    for epoch in range(config.epochs):
        data.set_epoch(epoch)
        order = list(EpochOrder(data, seed=7))
        per_step = processes * config.accumulate
        for start in range(0, len(order), per_step):
            taken = [data[index] for index in order[start : start + per_step]]
            labels = sum(int((batch["labels"] >= 0).sum()) for batch in taken)
            sums: list[list[Tensor]] = []
            for process in range(min(processes, len(taken))):
                model.zero_grad()
                for batch in taken[process::processes]:
                    model(**batch, num_items_in_batch=labels)["loss"].backward()
                sums.append([p.grad.clone() for p in trained if p.grad is not None])
            for number, parameter in enumerate(trained):
                parameter.grad = torch.stack([own[number] for own in sums]).sum(0)
            torch.nn.utils.clip_grad_norm_(trained, config.max_grad_norm)
            optimiser.step()
    return model


def test_two_processes_are_one_that_adds_up_twice_as_many_batches(
    train: Toy, toy: Toy, toy_model: Toy, toy_items: Toy, tmp_path: Path
) -> None:
    settings = STEADY | {"batches": batches_of(SIZES), "epochs": 2}
    assert train(tmp_path / "two", model=("ToyModel", NO_CHANCE), items={"count": 24}, **settings) == [0, 0]
    one = toy_model(**NO_CHANCE)
    toy(tmp_path / "one", model=one, items=toy_items(24), accumulate=2, **settings)
    assert are_equal(last_weights(tmp_path / "two"), one.checkpoint_state())
    assert finished_steps(tmp_path / "two" / "checkpoints") == [10]  # five steps an epoch, as one process has


def test_of_several_batches_each_only_the_order_of_the_sum_differs(
    train: Toy, toy: Toy, toy_model: Toy, toy_items: Toy, toy_data: Toy, toy_settings: Toy, tmp_path: Path
) -> None:
    """((a + b) + c) + d in one process is (a + c) + (b + d) in two: rounded otherwise, by an ulp a sum."""
    settings = STEADY | {"batches": batches_of(SIZES), "epochs": 2, "optimiser": "sgd"}
    two = {"model": ("ToyModel", NO_CHANCE), "items": {"count": 24}, "accumulate": 2}
    assert train(tmp_path / "two", **two, **settings) == [0, 0]
    one = toy_model(**NO_CHANCE)
    toy(tmp_path / "one", model=one, items=toy_items(24), accumulate=4, **settings)
    found = {1: one.checkpoint_state(), 2: last_weights(tmp_path / "two")}
    data = toy_data(toy_items(24))
    data.batches = settings.pop("batches")
    for processes, weights in found.items():
        config = toy_settings(accumulate=4 // processes, **settings)
        by_hand = steps_by_hand(toy_model(**NO_CHANCE), data, config, processes=processes)
        assert are_equal(by_hand.checkpoint_state(), weights)
    ulp = torch.finfo(torch.float32).eps * max(weight.abs().max().item() for weight in found[1].values())
    assert all(torch.allclose(found[1][n], found[2][n], rtol=0, atol=2 * ulp) for n in found[1])


def test_where_sums_are_exact_two_processes_are_one_at_any_accumulation(
    train: Toy, toy: Toy, exact_model: Toy, toy_items: Toy, tmp_path: Path
) -> None:
    items = {"count": 8, "labels_each": 1}  # eight labels a step: a count that divides without rounding
    settings = STEADY | {"batches": batches_of((1, 4, 3)), "epochs": 3}
    two = {"model": ("ExactModel", {}), "items": items, "accumulate": 2}
    assert train(tmp_path / "two", **two, **settings) == [0, 0]
    one = exact_model()
    toy(tmp_path / "one", model=one, items=toy_items(**items), accumulate=4, **settings)
    assert are_equal(last_weights(tmp_path / "two"), one.checkpoint_state())
    assert one.weight.abs().min() > 0  # learnt


def test_both_translate_dev_with_the_running_statistics_that_are_saved(train: Toy, tmp_path: Path) -> None:
    telling = ("TellingModel", {})
    assert train(tmp_path, model=telling, items={"count": 16}, dev=7, epochs=1) == [0, 0]
    rows = [json.loads(line) for line in (tmp_path / "log.jsonl").read_text().splitlines()]
    said = {example["hypothesis"] for row in rows for example in row.get("examples", ())}
    assert said == {str(last_weights(tmp_path)["norm.running_mean"][0].item())}


def test_two_processes_killed_inside_epoch_two_and_resumed_give_the_weights_of_a_run_never_killed(
    train: Toy, tmp_path: Path
) -> None:
    """Clip 2 cannot be read, by whichever process it comes to."""
    settings: dict[str, Any] = {"dev": 7, "save_every_steps": 1}
    toy, killed, items = ("ToyModel", {"seed": 0}), tmp_path / "killed", {"count": 23, "gone": (2,)}
    assert train(tmp_path / "whole", model=toy, items=items, **settings) == [0, 0]
    assert 0 not in train(killed, model=toy, items=items | {"fail_at": (5, 1)}, **settings)
    assert finished_steps(killed / "checkpoints")[-1] in {4, 5}  # epoch 2 is steps 4 to 6
    other = ("ToyModel", {"seed": 99})
    assert train(killed, model=other, items=items, resume=True, **settings) == [0, 0]
    assert are_equal(last_weights(tmp_path / "whole"), last_weights(killed))
    assert (tmp_path / "whole/log.jsonl").read_text().count('"dev"') == 3
    for name in ("whole", "killed"):
        assert (tmp_path / name / "log.jsonl").read_text().count('"reason": "no 2"') == 1
