"""The notebooks of the documentation run from top to bottom, on what ``fla demo`` leaves in ``runs/demo``."""

import json
import shutil
from pathlib import Path
from typing import Any

import pytest

FOLDER = Path(__file__).parents[2] / "docs" / "notebooks"
# The notebook of the demo makes the runs itself: tests/demo/test_run.py.
NOTEBOOKS = sorted(path.stem for path in FOLDER.glob("*.ipynb") if path.stem != "demo")


@pytest.fixture
def demo(house: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A working directory with the runs of a small demo."""
    (tmp_path / "runs").mkdir()
    shutil.copytree(house, tmp_path / "runs" / "demo", symlinks=True)
    monkeypatch.chdir(tmp_path)
    return tmp_path


def code_of(name: str) -> list[str]:
    """Return the cells of code."""
    content: dict[str, Any] = json.loads((FOLDER / f"{name}.ipynb").read_text(encoding="utf-8"))
    assert all(not cell.get("outputs") for cell in content["cells"]), "outputs would age"
    return ["".join(cell["source"]) for cell in content["cells"] if cell["cell_type"] == "code"]


def test_there_are_notebooks() -> None:
    assert NOTEBOOKS == ["looking_into_a_cache", "scoring_a_paper", "videos_to_translations"]


@pytest.mark.parametrize("name", NOTEBOOKS)
def test_a_notebook_runs_from_top_to_bottom(
    name: str, demo: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    cells = code_of(name)
    # One namespace for all cells, as in a kernel.
    names: dict[str, Any] = {"__name__": "__main__"}
    for number, code in enumerate(cells):
        exec(compile(code, f"{name}, cell {number}", "exec"), names)
    assert len(capsys.readouterr().out.splitlines()) >= 3
    if name == "videos_to_translations":
        assert (demo / "runs" / "mine" / "scores.json").is_file()
