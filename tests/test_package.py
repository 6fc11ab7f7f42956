"""What is given out: the source distribution is whole, and the wheel needs no torch where none is used."""

import importlib.metadata
import os
import shutil
import subprocess
import sys
import tarfile
import venv
import zipfile
from collections.abc import Iterator
from pathlib import Path

import pytest
from packaging.requirements import Requirement

ROOT = Path(__file__).parents[1]
SCORE_NEEDS = ["click", "tqdm", "PyYAML", "numpy", "sacrebleu"]
"""Dependencies of the wheel that `fla score` uses."""
NEVER_GIVEN_OUT = {
    ".git",
    ".venv",
    ".typing",
    "__pycache__",
    "_build",
    "build",
    "dist",
    "runs",
    ".pytest_cache",
}


@pytest.fixture(scope="session")
def dist(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Build the source distribution, and the wheel from the source distribution alone."""
    source = tmp_path_factory.mktemp("source") / "fla-llm"
    unwanted = shutil.ignore_patterns(*NEVER_GIVEN_OUT, "*.egg-info")
    shutil.copytree(ROOT, source, ignore=unwanted)  # a build leaves files beside the sources
    out = tmp_path_factory.mktemp("dist")
    subprocess.run(
        [sys.executable, "-m", "build", "--no-isolation", "--outdir", str(out), str(source)],
        check=True,
        capture_output=True,
    )
    return out


def sources() -> Iterator[str]:
    """Yield every file of the project that a stranger needs, relative to the root."""
    for folder, subfolders, names in os.walk(ROOT):
        subfolders[:] = [name for name in subfolders if name not in NEVER_GIVEN_OUT]
        kept = [
            name
            for name in names
            if name.endswith((".py", ".md", ".yaml", ".svg", ".png", ".toml", ".txt", ".html", ".css"))
        ]
        yield from (os.path.relpath(os.path.join(folder, name), ROOT) for name in kept)


def test_the_source_distribution_is_whole(dist: Path) -> None:
    (archive,) = dist.glob("*.tar.gz")
    with tarfile.open(archive) as opened:
        inside = {name.partition("/")[2] for name in opened.getnames()}
    wanted = {name for name in sources() if not name.startswith("fla_llm.egg-info")}
    assert wanted - inside == set()
    assert {"Makefile", "LICENSE", ".ci/run", "py.typed"} <= inside


def test_the_wheel_scores_in_an_environment_without_torch(dist: Path, tmp_path: Path) -> None:
    python = bare_environment(tmp_path / "bare", dist)
    hypotheses = tmp_path / "hypotheses.txt"
    hypotheses.write_text("rain in the north and snow\n", encoding="utf-8")
    fla = [str(python.with_name("fla"))]
    shown = subprocess.run([*fla, "--help"], check=True, capture_output=True, text=True, cwd=tmp_path).stdout
    assert "extract" in shown
    scored = subprocess.run(
        [*fla, "score", str(hypotheses), "--refs", str(hypotheses), "--language", "en"],
        check=True, capture_output=True, text=True, cwd=tmp_path,
    ).stdout  # fmt: skip
    assert "100.0" in scored
    listed = subprocess.run([*fla, "config", "list"], check=True, capture_output=True, text=True).stdout
    assert "phoenix14t-qwen" in listed
    code = "import importlib.util, sys; sys.exit(importlib.util.find_spec('torch') is not None)"
    assert subprocess.run([str(python), "-c", code], check=False).returncode == 0


def test_the_wheel_holds_every_file_that_is_read_at_run_time(dist: Path) -> None:
    (wheel,) = dist.glob("*.whl")
    with zipfile.ZipFile(wheel) as opened:
        inside = set(opened.namelist())
    read = [*ROOT.glob("configs/*/*.yaml"), *ROOT.glob("app/templates/*")]
    wanted = {f"fla_llm/{path.relative_to(ROOT).as_posix()}" for path in read}
    assert {"fla_llm/app/templates/report.html"} <= wanted
    assert wanted - inside == set()


def test_the_wheel_names_its_licence_paper_and_classifiers(dist: Path) -> None:
    (wheel,) = dist.glob("*.whl")
    (metadata,) = importlib.metadata.distributions(path=[str(wheel)])
    assert metadata.metadata["License-Expression"] == "Apache-2.0"
    assert "Paper, https://arxiv.org/abs/2403.12556" in metadata.metadata.get_all("Project-URL", [])
    assert "Operating System :: POSIX" in metadata.metadata.get_all("Classifier", [])


def bare_environment(folder: Path, dist: Path) -> Path:
    """Install the wheel beside nothing but what `fla score` needs; return the environment's Python."""
    venv.create(folder, with_pip=False)
    python = folder / "bin" / "python"
    (wheel,) = dist.glob("*.whl")
    subprocess.run(
        [
            sys.executable,
            "-m",
            "pip",
            "--python",
            str(python),
            "install",
            "-q",
            "--no-deps",
            "--no-index",
            str(wheel),
        ],
        check=True,
    )
    (packages,) = folder.glob("lib/python*/site-packages")
    for name in needed(SCORE_NEEDS):
        link_distribution(name, packages)
    return python


def needed(names: list[str]) -> set[str]:
    """Return distributions and all that they require."""
    found: set[str] = set()
    while names:
        name, *names = names
        if name.lower() not in found:
            found.add(name.lower())
            requirements = map(Requirement, importlib.metadata.requires(name) or [])
            names += [
                one.name for one in requirements if one.marker is None or one.marker.evaluate({"extra": ""})
            ]
    return found


def link_distribution(name: str, packages: Path) -> None:
    """Link the top-level files and folders of an installed distribution."""
    distribution = importlib.metadata.distribution(name)
    for top in {file.parts[0] for file in distribution.files or [] if file.parts[0] != ".."}:
        if not (packages / top).exists():
            (packages / top).symlink_to(Path(str(distribution.locate_file(top))))
