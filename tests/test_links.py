"""Pages name files, commands and Python names that exist. ``make docs`` checks the links within the site."""

import pkgutil
import re
from pathlib import Path

import pytest

from fla_llm.cli import COMMANDS

ROOT = Path(__file__).parents[1]
PAGES = ["README.md", "CONTRIBUTING.md", *sorted(str(p.relative_to(ROOT)) for p in ROOT.glob("docs/**/*.md"))]
LINK = re.compile(r"\]\((?!https?:)([^)#]+)[^)]*\)")


@pytest.mark.parametrize("page", ["README.md", "CONTRIBUTING.md", "CHANGELOG.md"])
def test_links_lead_to_files(page: str) -> None:
    targets = LINK.findall((ROOT / page).read_text(encoding="utf-8"))
    assert [target for target in targets if not (ROOT / target).exists()] == []


def test_the_architecture_page_names_rooms_and_files_that_exist() -> None:
    page = (ROOT / "docs/architecture.md").read_text(encoding="utf-8")
    named = re.findall(r"`([a-z_]+/(?:[a-z0-9_]+\.py)?)`", page)
    rooms = {path.parent.name for path in ROOT.glob("*/__init__.py")}
    assert [path for path in named if path.split("/")[0] in rooms and not (ROOT / path).exists()] == []
    assert {f"{room}/" for room in rooms} <= set(named)


def test_the_readme_names_every_command() -> None:
    page = (ROOT / "README.md").read_text(encoding="utf-8")
    assert [name for name in COMMANDS if f"[`fla {name}`](docs/{name}.md)" not in page] == []


@pytest.mark.parametrize("page", PAGES)
def test_python_names_on_pages_exist(page: str) -> None:
    text = (ROOT / page).read_text(encoding="utf-8")
    for name in re.findall(r"\bfla_llm(?:\.[A-Za-z_]\w*)+", text):
        pkgutil.resolve_name(name)  # raises ImportError or AttributeError
