"""Pages outside the documentation site name files that exist. ``make docs`` checks the site's own links."""

import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
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
