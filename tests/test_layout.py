"""The house stands as docs/architecture.md draws it: rooms packaged, floors kept, names free."""

import ast
import graphlib
import importlib.util
import subprocess
import sys
import tomllib
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
ROOMS = sorted(path.parent.name for path in ROOT.glob("*/__init__.py") if path.parent.name != "tests")
FLOORS = {
    **dict.fromkeys(["core", "configs"], 1),
    **dict.fromkeys(["video", "poses", "scoring", "cache"], 2),
    **dict.fromkeys(["corpora", "training", "interchange"], 3),
    **dict.fromkeys(["encoder", "llm", "detect"], 4),
    **dict.fromkeys(["pretrain", "extract", "finetune"], 5),
    "diffusion": 6,
    **dict.fromkeys(["pipeline", "planning", "describe"], 7),
    **dict.fromkeys(["demo", "app"], 8),
    "cli": 9,
}
TORCH_FREE = ["core", "configs", "corpora", "poses", "detect", "scoring", "cache", "interchange", "cli"]


def first_party_imports(path: Path) -> list[tuple[int, str]]:
    """Return (relative level, module) of each import in a file that could be ours."""
    found = []
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.ImportFrom):
            found.append((node.level, node.module or ",".join(alias.name for alias in node.names)))
        elif isinstance(node, ast.Import):
            found += [(0, alias.name) for alias in node.names]
    return found


def test_every_room_is_packaged() -> None:
    packages = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["setuptools"]["packages"]
    assert packages == ["fla_llm", *(f"fla_llm.{room}" for room in ROOMS)]


def test_every_room_has_a_floor_and_is_one_level_deep() -> None:
    assert set(FLOORS) == set(ROOMS)
    assert [path for room in ROOMS for path in (ROOT / room).glob("*/*.py")] == []


def test_no_stray_module_at_the_root() -> None:
    assert [path.name for path in ROOT.glob("*.py")] == ["__init__.py"]


def test_the_name_fla_stays_free() -> None:
    """transformers takes a package of that name for flash-linear-attention."""
    assert importlib.util.find_spec("fla") is None


@pytest.mark.parametrize("room", ROOMS)
def test_imports_run_downward(room: str) -> None:
    for path in (ROOT / room).glob("*.py"):
        for level, module in first_party_imports(path):
            assert not module.startswith("fla_llm"), f"{path}: relative imports only, not {module}"
            target = module.split(".")[0]
            if level == 2 and target in FLOORS:
                assert FLOORS[target] < FLOORS[room], f"{path} imports {module}, which is not below it"


def files_imported(path: Path) -> list[Path]:
    """Return our files that a file imports, those for the type checker alone included."""
    found = []
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.ImportFrom) and node.level:
            whole = path.parents[node.level - 1].joinpath(*(node.module or "").split("."))
            files = [whole.with_suffix(".py"), *(whole / f"{alias.name}.py" for alias in node.names)]
            found += [file for file in files if file.is_file()]
    return found


def test_every_import_leads_to_a_file() -> None:
    """An import inside a function fails only when the function runs: no test may have to run it to notice."""
    for path in (path for room in ROOMS for path in (ROOT / room).glob("*.py")):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.ImportFrom) and node.level:
                whole = path.parents[node.level - 1].joinpath(*(node.module or "").split("."))
                assert whole.with_suffix(".py").is_file() or whole.is_dir(), f"{path}: {ast.unparse(node)}"


def test_no_files_import_one_another_in_a_circle() -> None:
    graph = {path: files_imported(path) for room in ROOMS for path in (ROOT / room).glob("*.py")}
    list(graphlib.TopologicalSorter(graph).static_order())  # raises CycleError with the files


def loaded_with(path: Path, seen: set[Path]) -> Iterator[str]:
    """Yield the packages of others that importing a file loads at once, through files of ours too."""
    if path in seen or not path.is_file():
        return
    seen.add(path)
    yield from loaded_with(path.with_name("__init__.py"), seen)
    for node in ast.parse(path.read_text(encoding="utf-8")).body:
        if isinstance(node, ast.Import):
            yield from (alias.name.split(".")[0] for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and not node.level:
            yield (node.module or "").split(".")[0]
        elif isinstance(node, ast.ImportFrom):
            whole = path.parents[node.level - 1].joinpath(*(node.module or "").split("."))
            ours = [whole.with_suffix(".py"), whole / "__init__.py"]
            ours += [whole / f"{alias.name}.py" for alias in node.names]
            yield from (found for file in ours for found in loaded_with(file, seen))


@pytest.mark.parametrize("file", ["finetune/train.py", "planning/tune_plan.py", "pipeline/evaluate.py"])
def test_work_on_features_alone_loads_no_decoder_of_videos(file: str) -> None:
    found = set(loaded_with(ROOT / file, set()))
    assert "torch" in found
    assert "av" not in found


@pytest.mark.parametrize("room", TORCH_FREE)
def test_rooms_without_torch_load_without_it(room: str) -> None:
    modules = [
        f"fla_llm.{room}",
        *(f"fla_llm.{room}.{path.stem}" for path in (ROOT / room).glob("[a-z]*.py")),
    ]
    code = f"import sys, {', '.join(modules)}; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


@pytest.mark.parametrize(
    "room", ["pretrain", "extract", "finetune", "encoder", "training", "describe", "diffusion"]
)
def test_settings_load_without_torch(room: str) -> None:
    """A typing error in them is told at once."""
    code = f"import sys, fla_llm.{room}.config; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


def test_no_room_is_called_a_catch_all() -> None:
    names = {path.stem for room in ROOMS for path in (ROOT / room).glob("*.py")}
    assert not {"utils", "common", "helpers", "misc"} & (names | set(ROOMS))
