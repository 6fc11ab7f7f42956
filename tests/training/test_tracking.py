"""A tracker hears what ``log.jsonl`` holds; one that is not installed is refused with its remedy."""

import importlib.machinery
import sys
from collections.abc import Callable
from pathlib import Path
from types import ModuleType, SimpleNamespace
from typing import Any

import pytest

from fla_llm.core.errors import ConfigError
from fla_llm.training.tracking import check_tracker

Heard = list[tuple[str, float, int]]


def install(monkeypatch: pytest.MonkeyPatch, name: str, **content: Any) -> None:
    """Put a module of this name in the place of an installed one."""
    module = ModuleType(name)
    module.__spec__ = importlib.machinery.ModuleSpec(name, None)
    vars(module).update(content)
    monkeypatch.setitem(sys.modules, name, module)


def fake_tensorboard(monkeypatch: pytest.MonkeyPatch, heard: Heard, folders: list[str]) -> None:
    class SummaryWriter:
        def __init__(self, log_dir: str) -> None:
            folders.append(log_dir)

        def add_scalar(self, name: str, value: float, step: int) -> None:
            heard.append((name, value, step))

        def add_text(self, *_: Any) -> None: ...
        def flush(self) -> None: ...
        def close(self) -> None: ...

    install(monkeypatch, "tensorboard")
    install(monkeypatch, "torch.utils.tensorboard", SummaryWriter=SummaryWriter)


def fake_trackio(monkeypatch: pytest.MonkeyPatch, heard: Heard, folders: list[str]) -> None:
    def log(row: dict[str, Any]) -> None:
        heard.extend((name, value, row["train/global_step"]) for name, value in row.items())

    class Config(dict[str, Any]):
        def update(self, *_: Any, **__: Any) -> None: ...

    def init(**settings: Any) -> None:
        assert settings["space_id"] is None, "nothing may be sent anywhere unasked"
        folders.append(settings["name"])

    no_space = SimpleNamespace(current_space_id=SimpleNamespace(get=lambda: None))
    install(
        monkeypatch, "trackio", init=init, log=log, config=Config(), context_vars=no_space,
        finish=lambda: None, __version__="9",
    )  # fmt: skip


@pytest.mark.parametrize(
    ("tracker", "fake", "place"),
    [("tensorboard", fake_tensorboard, "/run/tensorboard"), ("trackio", fake_trackio, "run")],
)
def test_losses_rates_and_dev_scores_reach_the_tracker(
    tracker: str,
    fake: Callable[..., None],
    place: str,
    toy: Callable[..., Any],
    toy_items: Callable[..., Any],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.delenv("TENSORBOARD_LOGGING_DIR", raising=False)
    heard: Heard = []
    places: list[str] = []
    fake(monkeypatch, heard, places)
    _, fitted = toy(tmp_path / "run", dev=toy_items(4), epochs=2, report_to=tracker)
    assert [str(found).endswith(place) for found in places] == [True]
    names = {name for name, _, _ in heard}
    assert {"train/loss", "train/lr/inner", "train/lr/outer", "train/grad_norm"} <= names
    scores = {step: value for name, value, step in heard if name == "eval/bleu4"}
    assert list(scores) == [5, 10]
    assert max(scores.values()) == fitted.best_bleu4


def test_no_tracker_hears_anything_by_default(
    toy: Callable[..., Any], tmp_path: Path, monkeypatch: Any
) -> None:
    heard: Heard = []
    fake_tensorboard(monkeypatch, heard, [])
    toy(tmp_path, epochs=1)
    assert heard == []


@pytest.mark.parametrize("tracker", ["tensorboard", "wandb", "trackio"])
def test_a_tracker_that_is_not_installed_is_refused_with_its_pip_line(
    tracker: Any, toy: Callable[..., Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    expected = f"training.report_to is {tracker}.*is not.\nRun: pip install {tracker}$"
    with pytest.raises(ConfigError, match=expected):
        check_tracker(tracker)
    with pytest.raises(ConfigError, match=expected):
        toy(tmp_path, epochs=1, report_to=tracker)
    check_tracker("none")
