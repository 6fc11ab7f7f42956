"""Which checkpoint is the best, and that an evaluation which fails costs nothing."""

from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from transformers import TrainerState

from fla_llm.training.checkpoints import finished_steps, last_checkpoint
from fla_llm.training.selection import (
    best_evaluation,
    decisive_scores,
    is_due,
    is_out_of_patience,
    mark_due,
    note_scores,
)

from .conftest import log_rows

Toy = Callable[..., Any]


def state_of(scores: Sequence[tuple[float, float]]) -> TrainerState:
    """Return the state after an epoch of ten steps for each pair of BLEU-4 and chrF."""
    state = TrainerState()
    for epoch, (bleu4, chrf) in enumerate(scores, start=1):
        state.global_step, state.epoch = 10 * epoch, float(epoch)
        mark_due(state)
        assert is_due(state)
        note_scores(state, {"bleu4": bleu4, "chrf": chrf, "rouge_l": 1.0})
        assert not is_due(state)
    return state


@pytest.mark.parametrize(
    ("scores", "best"),
    [
        ([(0, 0), (0, 4.92), (0, 2.02)], 2),  # chrF decides
        ([(1, 5), (1, 5), (1, 5)], 3),  # the latest
        ([(1, 5), (1, 5), (1, 4)], 2),
        ([(3.001, 9), (3.004, 1), (3.003, 9)], 2),  # all 3.00 when rounded
        ([(2, 1), (1, 9)], 1),  # BLEU-4 before chrF
    ],
)
def test_the_best_is_of_unrounded_bleu4_then_chrf_then_the_later_epoch(
    scores: list[tuple[float, float]], best: int
) -> None:
    state = state_of(scores)
    found = best_evaluation(state)
    assert found is not None
    assert (found["step"], found["epoch"]) == (state.best_global_step, best) == (10 * best, best)
    assert state.best_metric == scores[best - 1][0]


@pytest.mark.parametrize(
    ("scores", "ends"),
    [([(1, 1)] * 3, True), ([(0, 1), (0, 2), (0, 3)], False), ([(1, 1), (2, 1), (1, 1)], False)],
)
def test_patience_ends_a_run_that_does_not_get_better(
    toy_settings: Toy, scores: list[tuple[float, float]], ends: bool
) -> None:
    assert is_out_of_patience(state_of(scores), toy_settings(patience_epochs=2)) is ends
    assert not is_out_of_patience(state_of(scores), toy_settings(patience_epochs=None))


def test_a_run_whose_bleu4_never_left_0_says_so_and_hands_on_the_best_chrf(
    toy: Toy, toy_items: Toy, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    """The toy's sentences have three words: no four in a row can be right."""
    _, fitted = toy(tmp_path / "zeros", dev=toy_items(4), learning_rate=1e-9)
    dev = [row["dev"] for row in log_rows(tmp_path / "zeros") if "dev" in row]
    assert [row["bleu4"] for row in dev] == [0, 0, 0]
    assert fitted.epoch == max((row["chrf"], epoch) for epoch, row in enumerate(dev, start=1))[1]
    assert "warning: dev BLEU-4 was 0 at all 3 evaluations" in capfd.readouterr().err
    toy(tmp_path / "without dev")
    assert "BLEU-4 was 0" not in capfd.readouterr().err


@pytest.mark.parametrize("failing", [0, 2])
def test_an_evaluation_that_fails_leaves_its_checkpoint_and_is_made_up_for_on_resume(
    toy: Toy, toy_items: Toy, toy_model: Toy, toy_dev: Toy, tmp_path: Path, failing: int
) -> None:
    dev = toy_dev(toy_items(4))
    _, whole = toy(tmp_path / "whole", dev=dev, learning_rate=3e-2)
    model, calls = toy_model(), iter(range(100))

    def failing_translate(batch: Any, decoding: Any) -> list[str]:
        if next(calls) // len(dev.batches) == failing:
            raise RuntimeError("a fault of the search")
        return type(model).translate(model, batch, decoding)

    model.translate = failing_translate
    with pytest.raises(RuntimeError, match="a fault of the search"):
        toy(tmp_path / "cut", model=model, dev=dev, learning_rate=3e-2)
    steps = finished_steps(tmp_path / "cut" / "checkpoints")
    assert steps[-1] == 5 * (failing + 1)  # of five steps an epoch: the epoch that was to be evaluated
    _, resumed = toy(tmp_path / "cut", model=toy_model(seed=99), dev=dev, learning_rate=3e-2, resume=True)
    assert log_rows(tmp_path / "cut") == log_rows(tmp_path / "whole")
    assert replace(resumed, seconds=0, state=whole.state) == replace(whole, seconds=0)
    states = [last_checkpoint(tmp_path / name / "checkpoints") for name in ("whole", "cut")]
    texts = [(state / "trainer_state.json").read_text() for state in states if state is not None]
    assert texts[0] == texts[1]


@pytest.mark.parametrize(
    ("names", "rows", "best"),
    [
        (
            ("recognise/wer", "recognise/exact_match", "isolated/top1"),
            [(40, 0, 99), (30, 1, 0), (30, 0, 50)],
            2,
        ),
        (("isolated/top1", "isolated/top1_per_class"), [(40, 9), (50, 1), (50, 2)], 3),
        (("bleu4", "chrf", "recognise/wer"), [(1, 1, 90), (2, 1, 95), (1, 9, 10)], 2),  # translations decide
    ],
)
def test_a_dev_set_of_several_tasks_is_judged_by_the_first_that_it_has(
    names: tuple[str, ...], rows: list[tuple[float, ...]], best: int
) -> None:
    state = TrainerState()
    for epoch, row in enumerate(rows, start=1):
        state.global_step, state.epoch = epoch, float(epoch)
        mark_due(state)
        assert is_due(state)
        note_scores(state, dict(zip(names, row, strict=True)))
        assert not is_due(state)
    assert state.best_global_step == best
    assert state.best_metric == rows[best - 1][0]
    found = best_evaluation(state)
    assert found is not None
    assert decisive_scores(found) == dict(zip(names[:2], rows[best - 1], strict=False))
