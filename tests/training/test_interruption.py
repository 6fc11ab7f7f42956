"""A training that a signal ends says what is kept and leaves no process. A resume gives the same weights."""

import os
import signal
from collections.abc import Callable
from multiprocessing import active_children
from pathlib import Path
from typing import Any

import pytest
import torch

from fla_llm.core.signals import Interrupted, end_quietly
from fla_llm.training.config import DecodingConfig
from fla_llm.training.interruption import report_interruption
from fla_llm.training.trainer import StageTrainer

from .conftest import SIZE, ToyItems, ToyModel, toy_batches, toy_config

Toy = Callable[..., Any]
pytestmark = pytest.mark.usefixtures("as_in_a_terminal")


@pytest.mark.parametrize("workers", [0, 1])
@pytest.mark.parametrize(("number", "code"), [(signal.SIGTERM, 143), (signal.SIGINT, 130)])
def test_a_signal_ends_with_its_code_and_how_to_go_on(
    toy: Toy, toy_model: Toy, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: Any,
    number: signal.Signals, code: int, workers: int,
) -> None:  # fmt: skip
    forward, main = toy_model.forward, os.getpid()
    whole, _ = toy(tmp_path / "whole", workers=workers)

    def signalled(self: Any, **batch: Any) -> Any:
        if self.calls == 7:  # of five steps an epoch: inside epoch 2
            os.kill(main, number)
        self.calls += 1
        return forward(self, **batch)

    run = tmp_path / "run"
    with monkeypatch.context() as patch:
        patch.setattr(toy_model, "calls", 0, raising=False)
        patch.setattr(toy_model, "forward", signalled)
        with pytest.raises(Interrupted) as stopped, report_interruption(run):
            toy(run, workers=workers)
    assert stopped.value.code == code
    assert not active_children()
    said = capfd.readouterr().err
    assert f"Ended by {number.name}: the checkpoint of step 5 (epoch 1.00) in {run} is kept." in said
    assert "Run the same command again with --resume" in said
    assert "Traceback" not in said
    resumed, _ = toy(run, model=toy_model(seed=99), resume=True)
    ours, theirs = resumed.checkpoint_state(), whole.checkpoint_state()
    assert all(torch.equal(ours[name], theirs[name]) for name in ours)


def test_what_is_kept_is_said_before_there_is_a_checkpoint(tmp_path: Path, capfd: Any) -> None:
    for run, expected in (
        (tmp_path / "none", "nothing was written to {} yet.\nRun the same command again."),
        (tmp_path, "{} has no checkpoint yet.\nRun the same command again with --resume: it starts again."),
    ):
        with pytest.raises(Interrupted), report_interruption(run):
            os.kill(os.getpid(), signal.SIGINT)
        assert f"Ended by SIGINT: {expected.format(run)}" in capfd.readouterr().err
        (tmp_path / "config.yaml").touch()


def test_processes_that_prepare_batches_end_without_a_word(capfd: Any) -> None:
    """Ctrl-C reaches them too."""
    from fla_llm.training.processes import begin_worker

    child = os.fork()
    if not child:
        begin_worker(0)
        os.kill(os.getpid(), signal.SIGINT)
        os._exit(1)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
    assert capfd.readouterr().err == ""


class HandlerItems(ToyItems):
    """Every feature is 1 in a process that ends silently on SIGTERM, else 0."""

    def get(self, index: int, epoch: int) -> dict[str, Any]:
        handler: Any = signal.getsignal(signal.SIGTERM)
        silent = getattr(handler, "__module__", "") == end_quietly.__module__
        return {"features": torch.full((3, SIZE), float(silent)), "labels": self.letters[index]}


def test_processes_that_prepare_batches_end_silently(tmp_path: Path) -> None:
    """A scheduler sends its signal to all processes, and the main process alone speaks."""
    trainer = StageTrainer(
        ToyModel(), train=toy_batches(HandlerItems(4)), dev=None, config=toy_config(workers=1),
        decoding=DecodingConfig(), run=tmp_path, seed=0, device=torch.device("cpu"),
    )  # fmt: skip
    (batch,) = trainer.get_train_dataloader()
    assert batch["features"].all()
