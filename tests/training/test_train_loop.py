"""Laws of the engine, held on a toy model."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch

from fla_llm.core.errors import ConfigError, ModelError, RunError
from fla_llm.training.checkpoints import finished_steps, load_weights
from fla_llm.training.model import TranslationModel

from .conftest import log_rows

Toy = Callable[..., Any]


def same_weights(first: TranslationModel, second: TranslationModel, *, within: float = 0.0) -> bool:
    ours, theirs = first.checkpoint_state(), second.checkpoint_state()
    return all(torch.allclose(ours[name], theirs[name], rtol=0, atol=within) for name in ours)


def test_the_toy_learns_and_the_log_tells_it(toy: Toy, tmp_path: Path, toy_items: Toy) -> None:
    items = toy_items(20)
    _, fitted = toy(tmp_path, items=items, dev=items, epochs=20, learning_rate=3e-2, evaluate_every_epochs=5)
    rows = log_rows(tmp_path)
    losses = [row["loss"] for row in rows if "loss" in row]
    assert losses[-1] < losses[0] / 4
    assert [row["epoch"] for row in rows if "dev" in row] == [1, 6, 11, 16, 20]
    assert fitted.best_bleu4 == max(row["dev"]["bleu4"] for row in rows if "dev" in row)
    first = next(row for row in rows if "dev" in row)["examples"][0]
    assert first.keys() == {"id", "reference", "hypothesis"}
    norms = {"grad_norms", "update_norms"}
    assert {"step", "epoch", "loss", "lr", "grad_norm", *norms} == rows[0].keys()
    assert rows[0]["lr"]["inner"] == pytest.approx(rows[0]["lr"]["outer"] / 2)


def test_the_same_seed_gives_the_same_weights(toy: Toy, tmp_path: Path) -> None:
    first, _ = toy(tmp_path / "a", epochs=2)
    second, _ = toy(tmp_path / "b", epochs=2)
    assert same_weights(first, second)


@pytest.mark.parametrize("optimiser", ["adamw", "sgd", "adamw8bit"])
def test_a_run_killed_inside_epoch_two_and_resumed_gives_the_weights_of_one_never_killed(
    toy: Toy, toy_items: Toy, toy_model: Toy, tmp_path: Path, optimiser: str
) -> None:
    changes: dict[str, Any] = {"save_every_steps": 1, "optimiser": optimiser, "accumulate": 2}
    whole, _ = toy(tmp_path / "whole", items=toy_items(42), **changes)
    with pytest.raises(KeyboardInterrupt):
        toy(tmp_path / "killed", items=toy_items(42, fail_at=(9, 1)), **changes)
    steps_per_epoch = 6  # 11 batches, two at a time
    killed_at = finished_steps(tmp_path / "killed" / "checkpoints")[-1]
    assert steps_per_epoch < killed_at < 2 * steps_per_epoch
    resumed, _ = toy(
        tmp_path / "killed", model=toy_model(seed=99), items=toy_items(42), resume=True, **changes
    )
    assert same_weights(whole, resumed)
    assert log_rows(tmp_path / "whole") == log_rows(tmp_path / "killed")


def test_workers_that_live_for_several_epochs_give_the_weights_of_no_workers(
    toy: Toy, tmp_path: Path
) -> None:
    """The noise of an item is drawn from the epoch."""
    steady = {"schedule": "constant", "warmup_share": 0.0}
    alone, _ = toy(tmp_path / "alone", **steady)
    helped, _ = toy(tmp_path / "helped", workers=1, **steady)
    assert same_weights(alone, helped)
    toy(tmp_path / "resumed", workers=1, epochs=1, **steady)
    resumed, _ = toy(tmp_path / "resumed", workers=1, resume=True, **steady)
    assert same_weights(alone, resumed)


def test_an_unfinished_checkpoint_is_passed_over(
    toy: Toy, toy_items: Toy, toy_model: Toy, tmp_path: Path
) -> None:
    whole, _ = toy(tmp_path / "whole")
    with pytest.raises(KeyboardInterrupt):
        toy(tmp_path / "cut", items=toy_items(20, fail_at=(0, 2)))
    (tmp_path / "cut/checkpoints/checkpoint-99.partial").mkdir()
    resumed, _ = toy(tmp_path / "cut", model=toy_model(seed=99), resume=True)
    assert same_weights(whole, resumed)
    assert not list((tmp_path / "cut/checkpoints").glob("*.partial"))


def test_two_half_batches_accumulated_are_one_batch(toy: Toy, toy_model: Toy, tmp_path: Path) -> None:
    whole, halves = [list(range(20))], [list(range(8)), list(range(8, 20))]
    weights = []
    for name, batches, accumulate in (("whole", whole, 1), ("halves", halves, 2)):
        # Batch statistics are of one batch only, by their nature.
        model = toy_model(dropout=0.0, batch_statistics=False)
        model, _ = toy(
            tmp_path / name, model=model, batches=batches, accumulate=accumulate, epochs=5,
            optimiser="sgd", warmup_share=0.0, schedule="constant",
        )  # fmt: skip
        weights.append(model)
    assert same_weights(weights[0], weights[1], within=1e-5)
    assert not same_weights(weights[0], toy_model(batch_statistics=False), within=1e-3)


def test_the_best_and_the_last_are_kept_and_nothing_else(toy: Toy, toy_items: Toy, tmp_path: Path) -> None:
    items = toy_items(20)
    model, fitted = toy(tmp_path, items=items, dev=items, epochs=12, learning_rate=3e-2)
    dev = {
        row["step"]: (row["dev"]["bleu4"], row["dev"]["chrf"]) for row in log_rows(tmp_path) if "dev" in row
    }
    best = max(dev, key=lambda step: (*dev[step], step))
    assert finished_steps(tmp_path / "checkpoints") == sorted({best, max(dev)})
    assert fitted.state.parent.name == f"checkpoint-{best}"
    assert {path.name for path in (tmp_path / "checkpoints").iterdir()} == {
        f"checkpoint-{step}" for step in (best, max(dev))
    }
    kept = load_weights(fitted.state.parent)
    assert all(torch.equal(tensor, kept[name]) for name, tensor in model.checkpoint_state().items())


def test_the_last_is_selected_when_asked_for(toy: Toy, toy_items: Toy, tmp_path: Path) -> None:
    items = toy_items(20)
    _, fitted = toy(tmp_path, items=items, dev=items, select="last")
    assert (fitted.epoch, fitted.state.parent.name) == (3, "checkpoint-15")


def test_a_checkpoint_holds_nothing_that_must_be_unpickled_freely(toy: Toy, tmp_path: Path) -> None:
    _, fitted = toy(tmp_path, epochs=1)
    names = {path.name for path in fitted.state.parent.iterdir()}
    assert names == {
        "model.safetensors",
        "optimizer.pt",
        "scheduler.pt",
        "rng_state.pth",
        "trainer_state.json",
    }
    torch.load(fitted.state.with_name("optimizer.pt"), weights_only=True)


def test_patience_ends_the_run_and_a_resume_does_not_start_it_again(
    toy: Toy, toy_items: Toy, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    changes = {"epochs": 50, "learning_rate": 1e-9, "patience_epochs": 2}
    _, fitted = toy(tmp_path, dev=toy_items(4), **changes)
    rows = log_rows(tmp_path)
    assert rows[-1]["epoch"] == 3
    assert fitted.epoch == 3  # all equal: the latest
    toy(tmp_path, dev=toy_items(4), resume=True, **changes)
    assert log_rows(tmp_path) == rows
    printed = capsys.readouterr()
    assert "has ended already" in printed.err
    assert printed.out == ""


def test_a_finished_run_resumed_gives_the_same_again(toy: Toy, toy_model: Toy, tmp_path: Path) -> None:
    first, _ = toy(tmp_path)
    again, _ = toy(tmp_path, model=toy_model(seed=99), resume=True)
    assert same_weights(first, again)


def test_two_runs_in_one_process_may_differ_in_precision(toy: Toy, tmp_path: Path) -> None:
    model, _ = toy(tmp_path / "bf16", precision="bf16", epochs=1)
    assert "forward" not in vars(model)  # accelerate's autocast is off again
    toy(tmp_path / "fp32", precision="fp32", epochs=1)


def test_fp16_on_the_cpu_is_refused(toy: Toy, tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="bf16 or fp32 on the CPU, but is fp16"):
        toy(tmp_path, precision="fp16")


def test_another_number_of_processes_is_refused(toy: Toy, tmp_path: Path) -> None:
    _, fitted = toy(tmp_path, epochs=1)
    (fitted.state.parent / "rng_state.pth").rename(fitted.state.parent / "rng_state_0.pth")
    (fitted.state.parent / "rng_state_1.pth").touch()
    with pytest.raises(RunError, match="resumed by 2 process"):
        toy(tmp_path, resume=True, epochs=2)


def test_a_checkpoint_of_another_shape_is_refused(toy_model: Toy) -> None:
    state = {name: tensor.clone() for name, tensor in toy_model().checkpoint_state().items()}
    state["inner.weight"] = torch.zeros(1, 1)
    with pytest.raises(ModelError, match=r"inner.weight as \(32, 8\), but holds \(1, 1\)"):
        toy_model().load_checkpoint_state(state)
