"""Resuming with other settings: refused whole, or allowed, logged and followed."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from fla_llm.core.errors import RunError
from fla_llm.training.resuming import changed_settings, describe_batches, log_changes, refuse_other_batches
from fla_llm.training.trainer import StageTrainer

BEGUN = {"lora": {"rank": 4, "alpha": 8}, "seed": 1}
NOW = {"lora": {"rank": 2, "alpha": 8}, "seed": 3}


def rows(run: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in (run / "log.jsonl").read_text().splitlines()]


def test_all_differences_are_named_and_refused(tmp_path: Path) -> None:
    expected = "lora.rank: was 4, is now 2\n  seed: was 1, is now 3\n.*--allow-config-change"
    with pytest.raises(RunError, match=expected):
        changed_settings(tmp_path, BEGUN, NOW, allow=False)
    assert not (tmp_path / "log.jsonl").exists()


def test_an_allowed_change_is_logged_at_the_step_from_which_it_holds(
    tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "checkpoints" / "checkpoint-7").mkdir(parents=True)
    (tmp_path / "log.jsonl").write_text('{"step": 6}\n{"step": 9}\n{"step": 9, "lo')
    log_changes(tmp_path, changed_settings(tmp_path, BEGUN, NOW, allow=True))
    changed = {"lora.rank": {"was": 4, "is_now": 2}, "seed": {"was": 1, "is_now": 3}}
    assert rows(tmp_path) == [{"step": 6}, {"step": 7, "config_changed": changed}]
    assert "seed: was 1, is now 3" in capfd.readouterr().err


def test_equal_settings_leave_no_row(tmp_path: Path) -> None:
    for allow in (False, True):
        log_changes(tmp_path, changed_settings(tmp_path, BEGUN, BEGUN, allow=allow))
    assert not (tmp_path / "log.jsonl").exists()


def test_other_batches_are_refused(
    toy_data: Callable[..., Any],
    toy_items: Callable[..., Any],
    toy_settings: Callable[..., Any],
    tmp_path: Path,
) -> None:
    begun, larger = (
        describe_batches(toy_data(toy_items(20), max_clips=clips), toy_settings()) for clips in (4, 5)
    )
    refuse_other_batches(tmp_path, begun, dict(begun))
    with pytest.raises(RunError, match=r"begun with \(5, 1 a step\), but .* others \(4, 1 a step\)"):
        refuse_other_batches(tmp_path, begun, larger)
    twice = describe_batches(toy_data(toy_items(20)), toy_settings(accumulate=2))
    with pytest.raises(
        RunError, match=r"others \(5, 2 a step\).\nSet back what decides them .training.batch_"
    ):
        refuse_other_batches(tmp_path, begun, twice)


def test_a_changed_rate_and_decay_hold_from_the_first_step_after_the_resume(
    toy: Callable[..., Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    toy(tmp_path, epochs=1, schedule="constant")
    decays: list[float] = []
    log = StageTrainer.log

    def noted(self: StageTrainer, *arguments: Any) -> None:
        assert self.optimizer is not None
        decays.extend(group["weight_decay"] for group in self.optimizer.param_groups)
        log(self, *arguments)

    monkeypatch.setattr(StageTrainer, "log", noted)
    changes = {"learning_rate": 1e-3, "weight_decay": 0.5, "warmup_share": 0.0, "log_every_steps": 1}
    toy(tmp_path, epochs=2, schedule="constant", resume=True, **changes)
    after = [row["lr"] for row in rows(tmp_path) if row["step"] == 6]
    assert after == [{"inner": pytest.approx(5e-4), "outer": pytest.approx(1e-3)}]
    assert set(decays) == {0.0, 0.5}
