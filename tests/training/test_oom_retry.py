"""A batch that does not fit runs in halves: the same gradient, the same schedule, and it is not forgotten."""

from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from fla_llm.core.errors import RunError
from fla_llm.training.oom_retry import OomRetry

from .conftest import ToyModel

SIZE, CLASSES = 4, 3


class RowsModel(ToyModel):
    """Rows do not meet one another, and more than ``holds`` of them do not fit."""

    def __init__(self, *, holds: int) -> None:
        nn.Module.__init__(self)
        torch.manual_seed(0)
        self.outer = nn.Linear(SIZE, CLASSES)
        self.holds, self.seen, self.found = holds, list[int](), list[bool]()

    def halve(self, batch: Any) -> Any:
        count = len(batch["features"])
        parts = slice(count // 2), slice(count // 2, None)
        return None if count == 1 else tuple({name: x[part] for name, x in batch.items()} for part in parts)

    def step(self, batch: dict[str, Tensor], count: int) -> Tensor:
        self.seen.append(len(batch["features"]))
        self.found.append(self.outer.weight.grad is not None)
        logits = self.outer(batch["features"].flatten(1))
        loss = nn.functional.cross_entropy(logits, batch["labels"], reduction="sum") / count
        loss.backward()  # the gradient is there already when memory ends
        if len(batch["features"]) > self.holds:
            raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 GiB.")
        return loss.detach()


def batch_of(count: int, *, seed: int = 1) -> dict[str, Tensor]:
    generator = torch.Generator().manual_seed(seed)
    return {
        "features": torch.randn(count, 1, SIZE, generator=generator),
        "labels": torch.randint(CLASSES, (count,), generator=generator),
    }


def run(model: RowsModel, retry: OomRetry, batch: dict[str, Tensor]) -> Tensor:
    count = len(batch["labels"])
    return retry.run(lambda part: model.step(part, count), batch)


@pytest.mark.parametrize("holds", [8, 4, 3, 1])
def test_the_gradient_is_that_of_the_whole(holds: int) -> None:
    model, whole = RowsModel(holds=holds), RowsModel(holds=8)
    for seed in (1, 2):  # the second adds to the first, as accumulation does
        loss = run(model, OomRetry(model, processes=1), batch_of(8, seed=seed))
        expected = whole.step(batch_of(8, seed=seed), 8)
        torch.testing.assert_close(loss, expected)
    torch.testing.assert_close(model.outer.weight.grad, whole.outer.weight.grad)
    assert max(model.seen[-2:]) <= holds


@pytest.mark.parametrize(("processes", "found"), [(1, False), (2, True)])
def test_gradients_of_earlier_batches_are_kept_apart_unless_other_processes_need_them(
    processes: int, found: bool
) -> None:
    model, whole = RowsModel(holds=8), RowsModel(holds=8)
    retry = OomRetry(model, processes=processes)
    for seed in (1, 2):
        run(model, retry, batch_of(8, seed=seed))
        whole.step(batch_of(8, seed=seed), 8)
    assert model.found == [False, found]
    torch.testing.assert_close(model.outer.weight.grad, whole.outer.weight.grad, atol=0, rtol=0)


def test_what_failed_once_is_halved_at_once(capsys: pytest.CaptureFixture[str]) -> None:
    model = RowsModel(holds=3)
    retry = OomRetry(model, processes=1)
    run(model, retry, batch_of(8))
    assert model.seen == [8, 4, 2, 2, 2, 2]
    assert retry.limit == 4
    assert "cannot hold a batch of 4 steps:" in capsys.readouterr().err
    model.seen.clear()
    run(model, retry, batch_of(8))
    assert model.seen == [2, 2, 2, 2]


def test_the_limit_is_kept_in_the_checkpoint(tmp_path: Path) -> None:
    first, second = (OomRetry(RowsModel(holds=1), processes=1) for _ in range(2))
    first.limit = 96
    first.save(tmp_path)
    second.load(tmp_path)
    assert second.limit == 96
    third = OomRetry(RowsModel(holds=1), processes=1)
    third.load(tmp_path / "older")  # a checkpoint of before there were limits
    assert third.limit is None


def test_a_clip_that_does_not_fit_alone_ends_with_the_remedy() -> None:
    model = RowsModel(holds=0)
    with pytest.raises(
        RunError, match=r"(?s)a batch of 1 steps, but does not: CUDA out.*training.batch_steps"
    ):
        run(model, OomRetry(model, processes=1), batch_of(4))


def test_several_processes_stop_with_the_remedy() -> None:
    model = RowsModel(holds=2)
    with pytest.raises(RunError, match=r"(?s)a batch of 4 steps.*smaller training.batch_steps"):
        run(model, OomRetry(model, processes=2), batch_of(4))
    assert model.seen == [4]


def test_other_faults_pass_through() -> None:
    model = RowsModel(holds=8)
    with pytest.raises(ValueError, match="boom"):
        OomRetry(model, processes=1).run(lambda _: (_ for _ in ()).throw(ValueError("boom")), batch_of(2))
