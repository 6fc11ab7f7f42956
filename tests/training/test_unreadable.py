"""Clips that cannot be read are left out and listed; the run goes on, and so it does after a resume."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch

from fla_llm.core.errors import DataError
from fla_llm.training.checkpoints import finished_steps
from fla_llm.training.config import DecodingConfig
from fla_llm.training.evaluation import predict

from .conftest import log_rows

Toy = Callable[..., Any]
CPU = torch.device("cpu")
BATCHES = [[0, 1, 2, 3], [4, 5], [6, 7, 8, 9]]


def names(clips: Any) -> list[tuple[str, str, str]]:
    return [(clip.split, clip.id, clip.reason) for clip in clips]


@pytest.mark.parametrize("accumulate", [1, 2])
def test_a_batch_of_unreadable_clips_takes_its_turn_without_weight(
    toy: Toy, toy_items: Toy, toy_model: Toy, tmp_path: Path, capfd: Any, accumulate: int
) -> None:
    """As if the clips had no labels: the same steps, the same weights. With 1 a step has no label at all."""
    weights = []
    plain = {"schedule": "constant", "warmup_share": 0.0, "optimiser": "sgd", "batches": BATCHES}
    for name, items in (("gone", toy_items(10, gone=(4, 5))), ("unlabelled", toy_items(10))):
        items.letters[4:6] = -100
        model = toy_model(dropout=0.0, batch_statistics=False)
        _, fitted = toy(tmp_path / name, model=model, items=items, accumulate=accumulate, **plain)
        weights.append(model.checkpoint_state())
        clips = [("train", "clip/4", "no 4"), ("train", "clip/5", "no 5")] if name == "gone" else []
        assert names(fitted.unreadable) == clips
    assert all(torch.equal(weights[0][name], weights[1][name]) for name in weights[0])
    assert capfd.readouterr().err.count("train clip 'clip/4' is left out: no 4") == 1  # not in every epoch


def test_no_readable_clip_at_all_ends_the_run(toy: Toy, toy_items: Toy, tmp_path: Path) -> None:
    with pytest.raises(
        DataError, match=r"No training clip can be read any more. The first: train clip 'clip/\d'"
    ):
        toy(tmp_path, items=toy_items(4, gone=range(4), gone_from=1))
    assert finished_steps(tmp_path / "checkpoints") == [1]


@pytest.mark.parametrize("workers", [0, 1])
def test_every_clip_of_a_set_is_translated_or_listed(
    toy_dev: Toy, toy_items: Toy, toy_model: Toy, workers: int
) -> None:
    gone = (1, 2, 6)
    model, whole = toy_model(), toy_dev(toy_items(7))
    part = toy_dev(toy_items(7, gone=gone, split="dev"))
    one, other = (
        predict(model, each, decoding=DecodingConfig(), device=CPU, desc=None, workers=workers)
        for each in (whole, part)
    )
    kept = [index for index in range(7) if index not in gone]
    assert names(other.unreadable) == [("dev", f"clip/{index}", f"no {index}") for index in gone]
    for column in ("ids", "references", "languages"):
        assert getattr(other, column) == [getattr(whole, column)[index] for index in kept]
    assert other.hypotheses == [one.hypotheses[index] for index in kept]
    assert one.unreadable == ()


def test_a_set_of_which_no_clip_can_be_read_is_refused(toy_dev: Toy, toy_items: Toy, toy_model: Toy) -> None:
    dev = toy_dev(toy_items(3, gone=range(3), split="dev"))
    with pytest.raises(DataError, match=r"No clip can be read. The first: dev clip 'clip/0' .* no 0"):
        predict(toy_model(), dev, decoding=DecodingConfig(), device=CPU, desc=None)


def test_what_was_left_out_before_a_kill_is_listed_after_the_resume(
    toy: Toy, toy_items: Toy, toy_model: Toy, tmp_path: Path
) -> None:
    settings = {"batches": BATCHES, "save_every_steps": 1, "dev": toy_items(4, gone=(2,), split="dev")}
    gone: dict[str, Any] = {"gone": (4, 5), "gone_from": 1}
    _, whole = toy(tmp_path / "whole", items=toy_items(10, **gone), **settings)
    with pytest.raises(KeyboardInterrupt):
        toy(tmp_path / "cut", items=toy_items(10, fail_at=(0, 2), **gone), **settings)
    mended = toy_items(10, gone=(4, 5), gone_from=1)
    _, resumed = toy(tmp_path / "cut", model=toy_model(seed=99), items=mended, resume=True, **settings)
    expected = [("dev", "clip/2", "no 2"), ("train", "clip/4", "no 4"), ("train", "clip/5", "no 5")]
    assert names(whole.unreadable) == names(resumed.unreadable) == expected
    assert log_rows(tmp_path / "whole") == log_rows(tmp_path / "cut")
    notes = [row for row in log_rows(tmp_path / "cut") if "unreadable" in row]
    assert [[clip["id"] for clip in row["unreadable"]] for row in notes] == [["clip/2"], ["clip/4", "clip/5"]]
