"""A run works on another machine: its language model may lie elsewhere, and only that model is taken."""

import json
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest
from click.testing import Result

from fla_llm.core.errors import ConfigError, ModelError
from fla_llm.finetune.store import load_stage_two

Fla = Callable[..., Result]
CPU = ("--device", "cpu")


@pytest.fixture
def moved(house: Path, tmp_path: Path) -> Path:
    """A copy of the run whose language model is no longer where it was in tuning."""
    run = Path(
        shutil.copytree(house / "stage2", tmp_path / "run", ignore=shutil.ignore_patterns("checkpoints"))
    )
    describe(run, llm=str(tmp_path / "gone" / "llm"))
    return run


def describe(run: Path, **entries: object) -> None:
    file = run / "run.json"
    file.write_text(json.dumps(json.loads(file.read_text()) | entries))


def commands(house: Path, run: Path, out: Path) -> dict[str, tuple[str | Path, ...]]:
    """Return a call of every command that loads a run."""
    video = next((house / "corpus").rglob("*.mp4"), None) or next(
        path for path in (house / "corpus").rglob("*") if path.is_dir() and any(path.glob("*.png"))
    )
    return {
        "evaluate": ("evaluate", run, "--features", house / "cache", *CPU),
        "translate": ("translate", video, "--run", run, "--ckpt", house / "stage1", *CPU),
        "export": ("export", run, "--out", out, "--features", house / "cache", *CPU),
        "export --merge": ("export", run, "--out", out, "--merge", *CPU),
    }


@pytest.mark.parametrize("name", ["evaluate", "translate", "export", "export --merge"])
def test_every_command_says_and_takes_llm(
    name: str, run_fla: Fla, house: Path, moved: Path, tmp_path: Path
) -> None:
    call = commands(house, moved, tmp_path / "out")[name]
    with pytest.raises(
        ModelError, match="language model .*gone/llm, but there is no such dir.*\nSay by --llm"
    ):
        run_fla(*call)
    shutil.rmtree(tmp_path / "out", ignore_errors=True)
    other = Path(shutil.copytree(house / "llm", tmp_path / "other"))
    (other / "config.json").write_text((other / "config.json").read_text() + "\n")
    with pytest.raises(ModelError, match="must be .*, the model that the run was tuned on, but is "):
        run_fla(*call, "--llm", other)
    shutil.rmtree(tmp_path / "out", ignore_errors=True)
    run_fla(*call, "--llm", house / "llm")


def test_a_copy_names_where_the_model_lies_now(
    run_fla: Fla, house: Path, moved: Path, tmp_path: Path
) -> None:
    run_fla("export", moved, "--out", tmp_path / "out", "--llm", house / "llm")
    assert json.loads((tmp_path / "out" / "run.json").read_text())["llm"] == str(house / "llm")
    load_stage_two(tmp_path / "out", device="cpu")


def test_a_model_inside_the_run_moves_with_it(run_fla: Fla, house: Path, moved: Path, tmp_path: Path) -> None:
    from fla_llm.finetune.store import describe_run, save_stage_two

    shutil.copytree(house / "llm", moved / "base")
    model = load_stage_two(moved, device="cpu", llm=str(moved / "base"))
    save_stage_two(model, moved, description=describe_run(model, languages=["de"]))
    assert json.loads((moved / "run.json").read_text())["llm"] == "base"
    there = moved.rename(tmp_path / "there")
    load_stage_two(there, device="cpu")
    run_fla("export", there, "--out", tmp_path / "out")  # which does not copy the base model
    assert json.loads((tmp_path / "out" / "run.json").read_text())["llm"] == str(there / "base")


def test_a_run_that_holds_its_model_takes_no_other(run_fla: Fla, house: Path, tmp_path: Path) -> None:
    run_fla("export", house / "stage2", "--out", tmp_path / "merged", "--merge", *CPU)
    with pytest.raises(ConfigError, match="--llm must be left out for .*merged, which holds its whole"):
        run_fla("evaluate", tmp_path / "merged", "--features", house / "cache", "--llm", house / "llm", *CPU)
