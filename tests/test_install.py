"""The ways to install name files, extras and versions that exist, and shell that parses."""

import re
import subprocess
import tomllib
from pathlib import Path
from typing import Any

import click
import pytest
import yaml
from packaging.requirements import Requirement
from packaging.specifiers import SpecifierSet

from fla_llm.cli import fla

ROOT = Path(__file__).parents[1]
PROJECT: dict[str, Any] = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
PAGE = (ROOT / "docs/install.md").read_text(encoding="utf-8")
INSTRUCTIONS = {"FROM", "ARG", "WORKDIR", "COPY", "RUN", "USER", "ENTRYPOINT", "CMD"}


def dockerfile() -> list[tuple[str, str]]:
    """Return (instruction, arguments) of the Dockerfile, with continued lines joined."""
    text = (ROOT / "Dockerfile").read_text(encoding="utf-8")
    lines = [line for line in text.splitlines() if not line.startswith("#")]
    joined = re.sub(r"\\\n", " ", "\n".join(lines))
    parts = [line.partition(" ") for line in joined.splitlines() if line]
    return [(word, rest.strip()) for word, _, rest in parts]


def values(name: str) -> list[str]:
    return [arguments for word, arguments in dockerfile() if word == name]


def test_the_image_is_made_of_known_instructions_and_files_that_exist() -> None:
    assert {word for word, _ in dockerfile()} == INSTRUCTIONS
    assert dockerfile()[0][0] == "FROM"
    for copied in values("COPY"):
        *sources, _ = copied.split()
        assert all((ROOT / source).exists() for source in sources), copied
    (image,) = values("FROM")
    assert re.fullmatch(r"python:(\d+\.\d+)-slim", image)
    assert SpecifierSet(PROJECT["requires-python"]).contains(image.removeprefix("python:").split("-")[0])


def test_every_shell_line_of_the_image_parses() -> None:
    for line in values("RUN"):
        subprocess.run(["sh", "-n", "-c", line], check=True)


@pytest.mark.parametrize(("torch", "code"), [("cpu", 0), ("cuda", 0), ("tpu", 1)])
def test_the_build_argument_chooses_the_wheels(torch: str, code: int) -> None:
    (choice,) = [line for line in values("RUN") if "$TORCH" in line]
    done = subprocess.run(
        ["sh", "-c", f"pip() {{ echo pip $@; }}\n{choice}"],
        env={"TORCH": torch}, capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.returncode == code
    assert ("--index-url" in done.stdout) == (torch == "cpu")
    # Both at once: the torch that is there already must fit torchvision.
    assert code or "-c constraints.txt torch torchvision" in done.stdout


@pytest.mark.parametrize("name", ["Dockerfile", "environment.yml", "docs/install.md"])
def test_extras_exist(name: str) -> None:
    text = (ROOT / name).read_text(encoding="utf-8")
    extras = {
        extra for found in re.findall(r"(?:\.|fla-llm)\[([\w,]+)\]", text) for extra in found.split(",")
    }
    assert extras
    assert extras <= PROJECT["optional-dependencies"].keys()


def test_the_page_lists_every_extra() -> None:
    assert set(re.findall(r"pip install '\.\[(\w+)\]'", PAGE)) == PROJECT["optional-dependencies"].keys()


def test_the_conda_environment_lets_pip_install_everything() -> None:
    content = yaml.safe_load((ROOT / "environment.yml").read_text())
    *conda, pip = content["dependencies"]
    python = Requirement(conda[0].replace("=", "==", 1))
    assert (python.name, conda[1]) == ("python", "pip")
    assert all(SpecifierSet(PROJECT["requires-python"]).contains(one.version) for one in python.specifier)
    flag, constraints = pip["pip"][0].split()
    assert (flag, (ROOT / constraints).is_file()) == ("-c", True)


def test_the_constraints_allow_what_the_project_asks_for() -> None:
    pinned = dict(
        line.split("==")
        for line in (ROOT / "constraints.txt").read_text().splitlines()
        if line and line[0] != "#"
    )
    for text in PROJECT["dependencies"]:
        wanted = Requirement(text)
        (version,) = [value for name, value in pinned.items() if name.lower() == wanted.name.lower()]
        assert wanted.specifier.contains(version), text


def test_the_page_shows_commands_that_exist() -> None:
    blocks = "\n".join(re.findall(r"(?m)^    (.+)$", PAGE))
    named = set(re.findall(r"(?:^|&& |\bfla )fla ([a-z]+)|docker run .*? fla ([a-z]+)", blocks, re.M))
    commands = {name for pair in named for name in pair if name}
    assert {"doctor", "demo"} <= commands
    assert commands <= set(fla.list_commands(click.Context(fla)))
    for file in ("Dockerfile", "environment.yml", "constraints.txt"):
        assert file in PAGE
        assert (ROOT / file).is_file()
    for argument in re.findall(r"--build-arg (\w+)=", PAGE):
        assert any(value.startswith(f"{argument}=") for value in values("ARG"))
